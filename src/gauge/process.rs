//! The gauge's side of a worker: starts it through Mesa's own loader, sends it shaders, and starts another
//! where it dies over one.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::protocol::{Compiled, Device, Hello, Reply, Request, receive, send};
use super::vendor::{Machine, libraries, loader};
use crate::error::{Error, ErrorKind, Result};

/// Longest that a compiler may take for a shader.
const PATIENCE: Duration = Duration::from_secs(180);
/// Bytes kept of what a worker last said on stderr.
const LAST_WORDS: usize = 2048;

/// Where a worker comes from.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The program, which takes `gauge --worker`.
    pub program: PathBuf,
    /// The folder that `tests/gauge/setup` filled.
    pub mesa: PathBuf,
}

impl Setting {
    /// Whether a machine's driver is there.
    ///
    /// # Errors
    /// [`ErrorKind::Device`], with what brings it.
    pub fn check(&self, machine: &Machine) -> Result<()> {
        let needed = [loader(&self.mesa), machine.driver(&self.mesa), machine.shim(&self.mesa)];
        match needed.iter().find(|file| !file.is_file()) {
            None => Ok(()),
            Some(missing) => {
                let text =
                    format!("{}: no compilers here: {} is missing", self.mesa.display(), name(missing));
                Err(Error::new(ErrorKind::Device, text)
                    .help(format!("run tests/gauge/setup {}", self.mesa.display())))
            }
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A compiler that waits for shaders.
#[derive(Debug)]
pub struct Compiler {
    setting: Setting,
    machine: &'static Machine,
    running: Running,
    /// Its device.
    pub device: Device,
}

/// A worker's process. Ends with this.
#[derive(Debug)]
struct Running {
    child: Child,
    requests: ChildStdin,
    replies: Receiver<Result<Option<serde_json::Value>>>,
    last_words: Arc<Mutex<Vec<u8>>>,
    // The driver's manifest: it says where the driver lies.
    _manifest: tempfile::NamedTempFile,
}

impl Compiler {
    /// Starts a worker.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] where there is no driver, or it gives no device.
    pub fn start(setting: &Setting, machine: &'static Machine) -> Result<Self> {
        setting.check(machine)?;
        let (running, device) = Running::start(setting, machine)?;
        Ok(Self { setting: setting.clone(), machine, running, device })
    }

    /// Compiles a shader.
    ///
    /// # Errors
    /// Why it was not compiled: the driver refused it, died over it, or took too long. The next one is
    /// compiled all the same.
    pub fn compile(&mut self, request: &Request) -> Result<Compiled> {
        let fail = |what: String| Error::new(ErrorKind::Device, what);
        let reply = send(&mut self.running.requests, request).and_then(|()| self.running.reply(PATIENCE));
        match reply {
            Ok(Reply::Compiled(compiled)) => Ok(compiled),
            Ok(Reply::Refused(why)) => Err(fail(format!("refused: {why}"))),
            Err(error) => {
                let why = self.running.obituary(&error);
                let (running, device) = Running::start(&self.setting, self.machine)?;
                (self.running, self.device) = (running, device);
                Err(fail(why))
            }
        }
    }
}

impl Running {
    fn start(setting: &Setting, machine: &Machine) -> Result<(Self, Device)> {
        let fail = |what: &str, e: &std::io::Error| {
            Error::io(format!("{} of the gauge: {what}", machine.chip.word), e)
        };
        let manifest =
            manifest(&machine.driver(&setting.mesa)).map_err(|e| fail("the driver's manifest", &e))?;
        let libraries = libraries(&setting.mesa);
        let mut command = Command::new(loader(&setting.mesa));
        command.arg("--library-path").arg(join(&libraries, "/usr/lib/x86_64-linux-gnu"));
        command.arg("--preload").arg(machine.shim(&setting.mesa));
        command.arg(&setting.program).args(["gauge", "--worker"]);
        for hidden in
            ["VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES", "VK_INSTANCE_LAYERS", "LD_LIBRARY_PATH", "LD_PRELOAD"]
        {
            command.env_remove(hidden);
        }
        command
            .env("VK_DRIVER_FILES", manifest.path())
            .env("VK_LOADER_LAYERS_DISABLE", "~all~")
            .env("WGPU_BACKEND", "vulkan")
            .env("WGPU_ALLOW_UNDERLYING_NONCOMPLIANT_ADAPTER", "1")
            .env("POLYSKETCH_WEAK", "0")
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .env("XDG_RUNTIME_DIR", std::env::temp_dir())
            .envs(machine.environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| fail("its process", &e))?;
        let (Some(requests), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::new(ErrorKind::Io, "a process without its pipes"));
        };
        let (sender, replies) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            loop {
                let message = receive(&mut output);
                let ends = !matches!(message, Ok(Some(_)));
                if sender.send(message).is_err() || ends {
                    return;
                }
            }
        });
        let last_words = Arc::new(Mutex::new(Vec::new()));
        let kept = last_words.clone();
        std::thread::spawn(move || keep_last(errors, &kept));
        let mut running = Self { child, requests, replies, last_words, _manifest: manifest };
        match running.reply::<Hello>(PATIENCE) {
            Ok(Hello::Ready(device)) => Ok((running, *device)),
            Ok(Hello::Failed(why)) => {
                Err(Error::new(ErrorKind::Device, format!("{}: no device: {why}", machine.chip.word)))
            }
            Err(error) => {
                let why = running.obituary(&error);
                Err(Error::new(ErrorKind::Device, format!("{}: no device: {why}", machine.chip.word)))
            }
        }
    }

    fn reply<T: serde::de::DeserializeOwned>(&mut self, most: Duration) -> Result<T> {
        let gone = |what: &str| Error::new(ErrorKind::Device, what);
        let message = self.replies.recv_timeout(most).map_err(|e| match e {
            RecvTimeoutError::Timeout => gone("it took too long"),
            RecvTimeoutError::Disconnected => gone("it died"),
        })?;
        let value = message?.ok_or_else(|| gone("it died"))?;
        serde_json::from_value(value).map_err(|e| gone(&e.to_string()))
    }

    /// Why a worker gives no reply any more, for people; it has ended after that.
    fn obituary(&mut self, error: &Error) -> String {
        let _ = self.child.kill();
        let status = self.child.wait().map(|status| status.to_string()).unwrap_or_default();
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        let words = String::from_utf8_lossy(&words).into_owned();
        let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        format!("{} ({status}) {}", error.message(), last.trim()).trim().to_string()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the Vulkan loader reads to find a driver.
fn manifest(driver: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let file = tempfile::Builder::new().prefix("polysketch-driver-").suffix(".json").tempfile()?;
    let text = serde_json::json!({
        "file_format_version": "1.0.0",
        "ICD": { "library_path": driver, "api_version": "1.4.305" },
    });
    std::fs::write(file.path(), text.to_string())?;
    Ok(file)
}

fn join(first: &Path, second: &str) -> std::ffi::OsString {
    let mut path = first.as_os_str().to_os_string();
    path.push(":");
    path.push(second);
    path
}

fn keep_last(mut from: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut bytes = [0; 512];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&bytes[..n]);
        let over = kept.len().saturating_sub(LAST_WORDS);
        kept.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::super::vendor::MACHINES;
    use super::*;
    use crate::gpu::AdapterReport;

    #[test]
    fn without_compilers_one_line_says_what_brings_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let setting = Setting { program: "polysketch".into(), mesa: folder.path().to_path_buf() };
        let error = Compiler::start(&setting, &MACHINES[0]).map(|_| ()).expect_err("nothing is there");
        let text = format!("{error:?}");
        assert!(error.message().contains("ld-linux-x86-64.so.2 is missing"), "{error}");
        assert!(text.contains("tests/gauge/setup"), "{text}");
    }

    #[test]
    fn the_last_words_are_kept() {
        let kept = Mutex::new(Vec::new());
        keep_last(&[b'a'; 5000][..], &kept);
        keep_last(&b"the end"[..], &kept);
        let kept = kept.into_inner().expect("no thread died");
        assert!(kept.len() == LAST_WORDS && kept.ends_with(b"athe end"));
    }

    /// A folder whose loader is a script: it says what a worker says first, and dies over the first request.
    fn dying(hello: &Hello) -> tempfile::TempDir {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(libraries(folder.path())).expect("folders");
        let script = loader(folder.path());
        for file in [MACHINES[0].driver(folder.path()), MACHINES[0].shim(folder.path())] {
            std::fs::write(file, "").expect("written");
        }
        let text =
            "#!/bin/sh\ncat \"$0.hello\"; head -c 4 >/dev/null; echo 'too many registers' >&2; exit 3\n";
        std::fs::write(&script, text).expect("written");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("executable");
        let mut words = Vec::new();
        send(&mut words, hello).expect("written");
        std::fs::write(script.with_extension("2.hello"), words).expect("written");
        folder
    }

    /// Another test's process, just forked, may still hold the script open: it cannot be run until that is over.
    fn started(setting: &Setting) -> Result<Compiler> {
        loop {
            match Compiler::start(setting, &MACHINES[0]) {
                Err(e) if e.message().contains("busy") => std::thread::yield_now(),
                result => return result,
            }
        }
    }

    #[test]
    fn a_compiler_that_dies_is_told_of_and_starts_again() {
        let adapter = AdapterReport::named("NVK", "vulkan");
        let device = Device { adapter, target: super::super::protocol::Target::default() };
        let folder = dying(&Hello::Ready(Box::new(device)));
        let setting = Setting { program: "polysketch".into(), mesa: folder.path().to_path_buf() };
        let mut compiler = started(&setting).expect("it says that it has a device");
        let request = Request { words: vec![0; 1000], storage: 1, texts: false };
        for _ in 0..2 {
            let error = compiler.compile(&request).expect_err("it dies");
            assert!(error.message().contains("exit status: 3"), "{error}");
        }
        let folder = dying(&Hello::Failed("no such chip".into()));
        let setting = Setting { program: "polysketch".into(), mesa: folder.path().to_path_buf() };
        let error = started(&setting).map(|_| ()).expect_err("it has no device");
        assert_eq!(error.message(), "nvidia: no device: no such chip");
    }
}
