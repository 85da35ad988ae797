/** The worker: the engine's end behind messages. */

import * as Comlink from "comlink"
import { host } from "./host.js"

Comlink.expose(host)
