// The front of the local cloud's AWS: what the emulator does not do itself. Every authorization token it hands out is
// one of its own and ends when it says, and the registry opens to nobody without a live one, as Amazon ECR does.
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import { answered, askedFor, type Asked } from "./aws-requests.ts";
import { recordRequest, rememberSecrets } from "./evidence.ts";
import { checkForm, type Refusal } from "./front/iam-checks.ts";
import { checkEcr } from "./front/ecr-checks.ts";
import { forward } from "./front/forward.ts";
import { Principals } from "./front/principals.ts";
import { Registry } from "./front/registry.ts";
import { Rights } from "./front/rights.ts";
import { Tokens } from "./front/tokens.ts";
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
  const principals = new Principals(emulator);
  const rights = new Rights(emulator, principals);
  const tokens = new Tokens(tokenLife);

  const serveApi: Handler = async (incoming, response) => {
    const given = await buffer(incoming);
    const asked = askedFor(incoming, given);
    const isForm = String(incoming.headers["content-type"]).startsWith("application/x-www-form-urlencoded");
    const isEcr = asked?.action.startsWith("ecr:") === true;
    const refused = isEcr ? await checkEcr(asked, given, { emulator, principals, rights }) : undefined;
    const sent = refused ?? (isForm ? await checkForm(given, emulator) : given);
    if ("code" in sent) {
      record(asked, sent.status, { error: sent.code });
      return void refuse(sent, response, isForm ? "xml" : "json");
    }
    const answer = await forward(emulator, incoming, { body: sent });
    const status = answer.statusCode ?? 502;
    const said = await buffer(answer);
    const { secrets, ...known } = answered(status, said);
    rememberSecrets(secrets);
    if (isForm) principals.learn(new URLSearchParams(given.toString()), said.toString());
    record(asked, status, known);
    const body = status === 200 ? await completed(asked, said) : said;
    delete answer.headers["transfer-encoding"];
    response.writeHead(status, { ...answer.headers, "content-length": body.length }).end(body);
  };

  /** What the emulator does not know of an answer. */
  const completed = async (asked: Asked | undefined, answer: Buffer): Promise<Buffer> => {
    if (asked?.action === "ecr:GetAuthorizationToken") {
      const { key = "", region = "" } = asked;
      const principal = await principals.find(key);
      if (principal === undefined) throw new Error(`nobody has the access key ${key}, and it got a token`);
      return tokens.issue(answer, { principal, key, region });
    }
    return asked?.action === "eks:DescribeCluster" ? describeCluster(answer) : answer;
  };

  const { serve } = new Registry(emulator, registry, tokens, rights);
  const servers = await Promise.all([listen(api, serveApi), listen(registry, serve)]);
  const [servedApi, servedRegistry] = servers.map((server) => server.address() as AddressInfo);
  return {
    api: { ...api, port: servedApi?.port ?? 0 },
    registry: { ...registry, port: servedRegistry?.port ?? 0 },
    close: async () => {
      await Promise.all(servers.map(async (server) => new Promise((done) => server.close(done).closeAllConnections())));
    },
  };
}

function refuse({ status, code, message }: Refusal, response: ServerResponse, form: "xml" | "json"): void {
  if (form === "json") {
    response.writeHead(status, { "content-type": "application/x-amz-json-1.1", "x-amzn-errortype": code });
    return void response.end(JSON.stringify({ __type: code, message }));
  }
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
