// The front of the local cloud's AWS: what the emulator does not do itself. Every authorization token it hands out is
// one of its own and ends when it says, and the registry opens to nobody without a live one, as Amazon ECR does.
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { pathToFileURL } from "node:url";
import { answered, askedFor, askedOfRegistry, type Asked } from "./aws-requests.ts";
import { recordRequest, rememberSecrets } from "./evidence.ts";
import { checkForm, type Refusal } from "./front-checks.ts";
import { certificate, issuer, ports, url, type Endpoint } from "./machine.ts";

export interface FrontOptions {
  emulator: Endpoint;
  /** Where the AWS API is served; port 0 for any free one. */
  api: Endpoint;
  /** Where the registry protocol is served; port 0 for any free one. */
  registry: Endpoint;
  /** How long a token lives, in milliseconds; Amazon ECR's 12 hours by default. */
  tokenLife?: number;
}

export interface Front {
  readonly api: Endpoint;
  readonly registry: Endpoint;
  close(): Promise<void>;
}

type Handler = (incoming: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Starts the front and resolves when both addresses are listened on; rejects when one is taken. */
export async function startFront({
  emulator,
  api,
  registry,
  tokenLife = 12 * 3_600_000,
}: FrontOptions): Promise<Front> {
  /** Until when a token is good, and the id of the access key that asked for it. */
  const live = new Map<string, { readonly until: number; readonly key: string }>();

  const issueToken = (answer: Buffer, key = ""): Buffer => {
    const body = JSON.parse(answer.toString()) as {
      authorizationData: { authorizationToken: string; expiresAt: number }[];
    };
    for (const data of body.authorizationData) {
      const password = randomBytes(512).toString("base64");
      const expiresAt = Date.now() + tokenLife;
      live.set(password, { until: expiresAt, key });
      data.authorizationToken = Buffer.from(`AWS:${password}`).toString("base64");
      rememberSecrets([password, data.authorizationToken]);
      data.expiresAt = expiresAt / 1000;
    }
    for (const [password, { until }] of live) if (until < Date.now()) live.delete(password);
    return Buffer.from(JSON.stringify(body));
  };

  const serveApi: Handler = async (incoming, response) => {
    const given = await buffer(incoming);
    const asked = askedFor(incoming, given);
    const isForm = String(incoming.headers["content-type"]).startsWith("application/x-www-form-urlencoded");
    const sent = isForm ? await checkForm(given, emulator) : given;
    if ("code" in sent) {
      record(asked, sent.status, { error: sent.code });
      return void refuse(sent, response);
    }
    const answer = await forward(emulator, incoming, sent);
    const status = answer.statusCode ?? 502;
    const said = await buffer(answer);
    const { secrets, ...known } = answered(status, said);
    rememberSecrets(secrets);
    record(asked, status, known);
    const body = status === 200 ? await completed(asked, said) : said;
    delete answer.headers["transfer-encoding"];
    response.writeHead(status, { ...answer.headers, "content-length": body.length }).end(body);
  };

  /** What the emulator does not know of an answer. */
  const completed = async (asked: Asked | undefined, answer: Buffer): Promise<Buffer> => {
    if (asked?.action === "ecr:GetAuthorizationToken") return issueToken(answer, asked.key);
    return asked?.action === "eks:DescribeCluster" ? describeCluster(answer) : answer;
  };

  const serveRegistry: Handler = async (incoming, response) => {
    const [user, password] = basicAuth(incoming.headers.authorization);
    const token = live.get(password);
    if (user === "AWS" && token !== undefined && token.until > Date.now()) {
      const answer = await forward(emulator, incoming);
      record(askedOfRegistry(incoming, token.key), answer.statusCode ?? 502);
      return relay(answer, response);
    }
    incoming.resume();
    const challenge = `Basic realm="${url(registry)}/",service="ecr.amazonaws.com"`;
    const errors = [{ code: "UNAUTHORIZED", message: "the authorization token is missing, wrong or has expired" }];
    response.writeHead(401, { "www-authenticate": challenge, "content-type": "application/json" });
    response.end(JSON.stringify({ errors }));
  };

  const servers = await Promise.all([listen(api, serveApi), listen(registry, serveRegistry)]);
  const [servedApi, servedRegistry] = servers.map((server) => server.address() as AddressInfo);
  return {
    api: { ...api, port: servedApi?.port ?? 0 },
    registry: { ...registry, port: servedRegistry?.port ?? 0 },
    close: async () => {
      await Promise.all(servers.map(async (server) => new Promise((done) => server.close(done).closeAllConnections())));
    },
  };
}

function basicAuth(header = ""): [user: string, password: string] {
  const decoded = Buffer.from(header.replace(/^Basic /i, ""), "base64").toString();
  const colon = decoded.indexOf(":");
  return [decoded.slice(0, colon), decoded.slice(colon + 1)];
}

/** Sends a request on, its Host header untouched: the emulator checks the signature over it. */
async function forward(
  emulator: Endpoint,
  incoming: IncomingMessage,
  body: IncomingMessage | Buffer = incoming,
): Promise<IncomingMessage> {
  const { method, url: path, headers } = incoming;
  const { authorization, ...rest } = headers;
  // The registry's Basic credentials are checked here and mean nothing to the emulator, which would take them for AWS's.
  const own = authorization?.startsWith("Basic ") === true ? rest : headers;
  const sent = Buffer.isBuffer(body) ? { ...own, "content-length": body.length } : own;
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: emulator.address, port: emulator.port, method, path, headers: sent }, resolve);
    outgoing.on("error", reject);
    pipeline(Buffer.isBuffer(body) ? [body] : body, outgoing).catch(reject);
  });
}

function refuse({ status, code, message }: Refusal, response: ServerResponse): void {
  const error = `<Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error>`;
  response.writeHead(status, { "content-type": "text/xml" }).end(`<ErrorResponse>${error}</ErrorResponse>`);
}

function record(asked: Asked | undefined, status: number, answer: { error?: string; made?: string } = {}): void {
  if (asked !== undefined) recordRequest({ time: new Date().toISOString(), ...asked, status, ...answer });
}

/** EKS knows where a cluster is and who signs its tokens; the emulator, whose cluster is none, does not. */
async function describeCluster(answer: Buffer): Promise<Buffer> {
  const { cluster } = JSON.parse(answer.toString()) as { cluster: object };
  const data = (await readFile(certificate)).toString("base64");
  const known = {
    endpoint: url(ports.apiServer, "https"),
    identity: { oidc: { issuer } },
    certificateAuthority: { data },
  };
  return Buffer.from(JSON.stringify({ cluster: { ...cluster, ...known } }));
}

async function relay(answer: IncomingMessage, response: ServerResponse): Promise<void> {
  response.writeHead(answer.statusCode ?? 502, answer.headers);
  await pipeline(answer, response);
}

async function listen(endpoint: Endpoint, handle: Handler): Promise<Server> {
  const server = createServer((incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      // A broken connection on one side breaks the other; the error's text says which request it was.
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
  await startFront({ emulator: ports.emulator, api: ports.front, registry: ports.registry });
}
