// What the kubelet asks: /healthz, alive unless the loop is stuck; /readyz, ready after the first complete refresh.
import { createServer, type Server } from "node:http";

export class Health {
  #beatUntil = Infinity;
  #ready = false;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The loop promises to call again until this moment, in milliseconds since 1970. */
  beat(until: number): void {
    this.#beatUntil = until;
  }

  ready(): void {
    this.#ready = true;
  }

  /** The status and text for a path: 200 when all is well, 503 when not, 404 for any other path. */
  answer(path: string): [status: number, body: string] {
    if (path === "/healthz") return this.#now() <= this.#beatUntil ? [200, "ok"] : [503, "the reconcile loop is stuck"];
    if (path === "/readyz") return this.#ready ? [200, "ok"] : [503, "the first refresh is not complete"];
    return [404, "only /healthz and /readyz are served"];
  }
}

/** Serves the answers on a port of every address, as the kubelet asks by the pod's own. Rejects when it is taken. */
export async function serveHealth(health: Health, port: number): Promise<Server> {
  const server = createServer((incoming, response) => {
    const [status, body] = health.answer(incoming.url ?? "");
    response.writeHead(status, { "content-type": "text/plain" }).end(`${body}\n`);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, () => resolve(server));
  });
}
