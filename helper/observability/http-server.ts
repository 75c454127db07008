// The HTTP server for the kubelet and Prometheus: /healthz fails when the controller is stuck, /readyz until there are
// tokens and every namespace was reconciled once, and /metrics has the metrics.
import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Status } from "./status.ts";

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** The probes. Each returns what is wrong, or undefined when nothing is. */
export type ProbeRequest = Pick<Status, "livenessError" | "readinessError">;
/** Resolves to the metrics in Prometheus' text format, and its content type. */
export type Scrape = () => Promise<{ type: string; body: string }>;

const plain = (status: number, body: string): Answer => ({ status, type: "text/plain", body: `${body}\n` });
const probe = (error: string | undefined): Answer => (error === undefined ? plain(200, "ok") : plain(503, error));

/** The answer for a path: 200, or 503 with the reason when a probe fails, or 404 for an unknown path. */
export async function handle(status: ProbeRequest, scrape: Scrape, path: string): Promise<Answer> {
  if (path === "/healthz") return probe(status.livenessError());
  if (path === "/readyz") return probe(status.readinessError());
  if (path === "/metrics") return { status: 200, ...(await scrape()) };
  return plain(404, "only /healthz, /readyz and /metrics are served");
}

/** Any pod can connect, and must not use up memory that way: a request is one short line and arrives within seconds. */
const limits = {
  maxHeaderSize: 4_096,
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
};
/** The most connections at a time. */
const maxConnections = 256;
/** The most of them from one address, so that those of the kubelet and Prometheus always find room. */
const maxPerAddress = 16;

/** Listens on a port of every address, since the kubelet uses the pod's own. Rejects when the port is taken. */
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
      const remaining = (open.get(remoteAddress) ?? 0) - 1;
      if (remaining > 0) open.set(remoteAddress, remaining);
      else open.delete(remoteAddress);
    });
    if (count > maxPerAddress) socket.destroy();
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, () => resolve(server));
  });
}
