// Before the first paint, or a dark page would flash. A script of its own, and no module: it runs under a
// strict Content-Security-Policy, and where the page was opened as a file, which modules do not.
{
  let theme
  try {
    theme = localStorage.getItem("polysketch.theme")
  } catch {}
  const dark = matchMedia("(prefers-color-scheme: dark)").matches
  document.documentElement.dataset.theme = theme ?? (dark ? "dark" : "light")
  document.documentElement.dataset.opened = location.protocol === "file:" ? "file" : "served"
}
