// The HTTP gateway before the AWS emulator. It authorizes every request by the policies in IAM, issues authorization tokens that
// expire, and is a registry that accepts only these tokens, as Amazon ECR does. It runs as a separate process, or in the process of a test.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pathToFileURL } from "node:url";
import { Api } from "./api.ts";
import { Emulator } from "./emulator.ts";
import { Principals } from "./principals.ts";
import { Registry } from "./registry.ts";
import { Rights } from "./rights.ts";
import { Tokens } from "./tokens.ts";
import { ports, type Endpoint } from "../settings.ts";

/** The addresses of a gateway, and the lifetime of its tokens. */
export interface GatewayOptions {
  /** Where the emulator listens. */
  emulator: Endpoint;
  /** Where the AWS API is served; port 0 for any free one. */
  api: Endpoint;
  /** Where the registry protocol is served; port 0 for any free one. */
  registry: Endpoint;
  /** How long a token lives, in milliseconds; Amazon ECR's 12 hours by default. */
  tokenLife?: number;
}

/** A running gateway with the ports that it listens on. */
export interface Gateway {
  readonly api: Endpoint;
  readonly registry: Endpoint;
  close(): Promise<void>;
}

type Handler = (incoming: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Starts a gateway and resolves when it listens on both addresses; rejects where one of them is taken. */
export async function startGateway({
  emulator: endpoint,
  api,
  registry,
  tokenLife = 12 * 3_600_000,
}: GatewayOptions): Promise<Gateway> {
  const emulator = new Emulator(endpoint);
  const principals = new Principals(emulator);
  const shared = { emulator, principals, rights: new Rights(emulator, principals), tokens: new Tokens(tokenLife) };
  const servers = await Promise.all([
    listen(api, new Api(shared).serve),
    listen(registry, new Registry(registry, shared).serve),
  ]);
  const [servedApi, servedRegistry] = servers.map((server) => server.address() as AddressInfo);
  return {
    api: { ...api, port: servedApi?.port ?? 0 },
    registry: { ...registry, port: servedRegistry?.port ?? 0 },
    close: async () => {
      await Promise.all(servers.map(async (server) => new Promise((done) => server.close(done).closeAllConnections())));
      emulator.close();
    },
  };
}

async function listen(endpoint: Endpoint, handle: Handler): Promise<Server> {
  const server = createServer((incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      // Where one of both connections breaks, the other one is closed, too.
      process.stderr.write(`${String(incoming.method)} ${String(incoming.url)}: ${String(error)}\n`);
      if (!response.headersSent) response.writeHead(502).end();
      else response.destroy();
    });
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(endpoint.port, endpoint.address, () => resolve(server));
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await startGateway({ emulator: ports.emulator, api: ports.gateway, registry: ports.registry });
}
