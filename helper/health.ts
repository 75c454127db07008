// What the kubelet and Prometheus ask: /healthz, alive unless the loop is stuck; /readyz, ready after the first full pass;
// /metrics.
import { createServer, type Server } from "node:http";
import type { Status } from "./status.ts";

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** What is asked; both give undefined when all is well, else what is not. */
export type Asked = Pick<Status, "stuck" | "unready">;
/** The metrics in Prometheus' text format, and its content type. */
export type Scrape = () => Promise<{ type: string; body: string }>;

const plain = (status: number, body: string): Answer => ({ status, type: "text/plain", body: `${body}\n` });
const check = (wrong: string | undefined): Answer => (wrong === undefined ? plain(200, "ok") : plain(503, wrong));

/** The answer for a path: 200 when all is well, 503 with the reason when not, 404 for any other path. */
export async function answer(status: Asked, scrape: Scrape, path: string): Promise<Answer> {
  if (path === "/healthz") return check(status.stuck());
  if (path === "/readyz") return check(status.unready());
  if (path === "/metrics") return { status: 200, ...(await scrape()) };
  return plain(404, "only /healthz, /readyz and /metrics are served");
}

/** Serves the answers on a port of every address, as the kubelet asks by the pod's own. Rejects when it is taken. */
export async function serveHealth(status: Asked, scrape: Scrape, port: number): Promise<Server> {
  const server = createServer((incoming, response) => {
    void answer(status, scrape, incoming.url ?? "")
      .catch((error: unknown) => plain(500, String(error)))
      .then(({ status: code, type, body }) => response.writeHead(code, { "content-type": type }).end(body));
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, () => resolve(server));
  });
}
