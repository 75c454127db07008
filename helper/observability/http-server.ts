// What the kubelet and Prometheus ask: /healthz, alive unless the loop is stuck; /readyz, ready after the first full pass;
// /metrics.
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Status } from "./status.ts";

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** What is asked; both give undefined when all is well, else what is not. */
export type ProbeRequest = Pick<Status, "livenessError" | "readinessError">;
/** The metrics in Prometheus' text format, and its content type. */
export type Scrape = () => Promise<{ type: string; body: string }>;

const plain = (status: number, body: string): Answer => ({ status, type: "text/plain", body: `${body}\n` });
const check = (wrong: string | undefined): Answer => (wrong === undefined ? plain(200, "ok") : plain(503, wrong));

/** The answer for a path: 200 when all is well, 503 with the reason when not, 404 for any other path. */
export async function handle(status: ProbeRequest, scrape: Scrape, path: string): Promise<Answer> {
  if (path === "/healthz") return check(status.livenessError());
  if (path === "/readyz") return check(status.readinessError());
  if (path === "/metrics") return { status: 200, ...(await scrape()) };
  return plain(404, "only /healthz, /readyz and /metrics are served");
}

/** Any pod may ask, and none is to take memory by it: a request is one short line, and is there within seconds. */
const limits = {
  maxHeaderSize: 4_096,
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
};
/** So many connections at a time, and so many of them from one address: the kubelet's and Prometheus' own always find room. */
const maxConnections = 256;
const maxOfAddress = 16;

/** Serves the answers on a port of every address, as the kubelet asks by the pod's own. Rejects when it is taken. */
export async function serveHealth(status: ProbeRequest, scrape: Scrape, port: number): Promise<Server> {
  const server = createServer(limits, (incoming, response) => {
    void handle(status, scrape, incoming.url ?? "")
      .catch((error: unknown) => plain(500, String(error)))
      .then(({ status: code, type, body }) => response.writeHead(code, { "content-type": type }).end(body));
  });
  server.maxConnections = maxConnections;
  const open = new Map<string, number>();
  server.on("connection", (socket: Socket) => {
    const { remoteAddress = "" } = socket;
    const count = (open.get(remoteAddress) ?? 0) + 1;
    open.set(remoteAddress, count);
    socket.once("close", () => {
      const left = (open.get(remoteAddress) ?? 0) - 1;
      if (left > 0) open.set(remoteAddress, left);
      else open.delete(remoteAddress);
    });
    if (count > maxOfAddress) socket.destroy();
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, () => resolve(server));
  });
}
