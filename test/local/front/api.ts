// AWS' API in the local cloud: the emulator's, behind what AWS checks and the emulator does not.
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { answered, askedFor, type Asked } from "../aws-requests.ts";
import { recordRequest, rememberSecrets } from "../evidence.ts";
import { certificate, issuer, ports, url } from "../machine.ts";
import { checkEcr, notePolicy, type EcrFront } from "./ecr-checks.ts";
import type { Emulator } from "./emulator.ts";
import { forward } from "./forward.ts";
import { checkForm, type Refusal } from "./iam-checks.ts";
import type { Principals } from "./principals.ts";
import type { Rights } from "./rights.ts";
import type { Tokens } from "./tokens.ts";

/** What the API and the registry have in common. */
export interface Shared {
  readonly emulator: Emulator;
  readonly principals: Principals;
  readonly rights: Rights;
  readonly tokens: Tokens;
}

export class Api {
  readonly #shared: Shared;

  constructor(shared: Shared) {
    this.#shared = shared;
  }

  readonly serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const given = await buffer(incoming);
    const asked = askedFor(incoming, given);
    const isForm = asked === undefined || /^(iam|sts):/.test(asked.action);
    const own = { ...this.#shared, address: incoming.socket.remoteAddress ?? "" };
    const sent = await checked(asked, given, own);
    if ("code" in sent) {
      record(asked, sent.status, { error: sent.code });
      refuse(sent, response, isForm);
      return;
    }
    const answer = await forward(own.emulator.endpoint, incoming, { body: sent });
    const [status = 502, said] = [answer.statusCode, await buffer(answer)];
    const { secrets, ...known } = answered(status, said);
    rememberSecrets(secrets);
    record(asked, status, known);
    if (isForm) own.principals.learn(new URLSearchParams(given.toString()), said.toString());
    const body = status === 200 ? await this.#completed(asked, said, { ...own, given }) : said;
    delete answer.headers["transfer-encoding"];
    if ("code" in body) refuse(body, response, isForm);
    else response.writeHead(status, { ...answer.headers, "content-length": body.length }).end(body);
  };

  /** What the emulator does not know of an answer. */
  async #completed(
    asked: Asked | undefined,
    answer: Buffer,
    { given, ...own }: EcrFront & { given: Buffer },
  ): Promise<Buffer | Refusal> {
    if (asked?.action === "eks:DescribeCluster") return describeCluster(answer);
    if (asked?.action === "ecr:SetRepositoryPolicy") await notePolicy(asked, given, own);
    if (asked?.action !== "ecr:GetAuthorizationToken") return answer;
    const { key = "", region = "" } = asked;
    const principal = await this.#shared.principals.find(key);
    return principal === undefined ? stranger : this.#shared.tokens.issue(answer, { principal, key, region });
  }
}

/** What the emulator is to be sent, or a refusal. */
async function checked(asked: Asked | undefined, given: Buffer, own: EcrFront): Promise<Buffer | Refusal> {
  if (asked === undefined) return given;
  if (/^(iam|sts):/.test(asked.action)) return checkForm(given, own.emulator.endpoint);
  return (asked.action.startsWith("ecr:") ? await checkEcr(asked, given, own) : undefined) ?? given;
}

/** A session that was begun elsewhere: whose it is, is not known here. */
const stranger: Refusal = {
  status: 403,
  code: "UnrecognizedClientException",
  message: "The security token included in the request is invalid: this front did not see it being given.",
};

function refuse({ status, code, message }: Refusal, response: ServerResponse, isForm: boolean): void {
  if (!isForm) {
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
