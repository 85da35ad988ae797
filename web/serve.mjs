// Serves web/site, any way a static host would: no special headers. Usage: node serve.mjs [PORT]
import { readFile } from "node:fs/promises"
import { createServer } from "node:http"
import { extname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".jsonl": "application/jsonl",
  ".map": "application/json",
  ".txt": "text/plain; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
}

/**
 * Serves folders by the beginning of the path: `{ "/": folder, "/golden/": other }`. Returns the server, on a
 * free port for 0. `headers` are added to each answer.
 */
export async function serve(folders, port = 0, headers = {}) {
  const prefixes = Object.keys(folders).sort((a, b) => b.length - a.length)
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname))
    const prefix = prefixes.find((prefix) => path.startsWith(prefix))
    const file = join(
      folders[prefix] ?? "",
      path.slice(prefix?.length ?? 0),
      path.endsWith("/") ? "index.html" : "",
    )
    try {
      const body = await readFile(file)
      response
        .writeHead(200, {
          "content-type": TYPES[extname(file)] ?? "application/octet-stream",
          "content-length": body.length,
          "cache-control": "no-cache",
          ...headers,
        })
        .end(body)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise((resolve, reject) => server.once("error", reject).listen(port, "localhost", resolve))
  return { address: `http://localhost:${server.address().port}`, close: () => server.close() }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.argv[2] ?? 8000)
  try {
    const { address } = await serve({ "/": fileURLToPath(new URL("site", import.meta.url)) }, port)
    console.log(`polysketch is at ${address}/ (Ctrl-C ends it)`)
  } catch (error) {
    console.error(`error: port ${port}: ${error.message}\nhelp: give another one, as in web/serve 8080`)
    process.exitCode = 1
  }
}
