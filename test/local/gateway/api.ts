// The AWS API of the local cloud: makes the checks of AWS that the emulator lacks, then forwards the request to the emulator.
import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { parseAwsResponse, parseAwsRequest, type AwsOperation } from "../aws-requests.ts";
import { recordAwsRequest, recordSecrets } from "../audit-log.ts";
import { Access } from "./access.ts";
import { checkEcr, recordPolicyPrincipals, type EcrContext } from "./ecr-checks.ts";
import { describeCluster } from "./describe-cluster.ts";
import type { Emulator } from "./emulator.ts";
import { forward } from "./forward.ts";
import { checkIamRequest, type Refusal } from "./iam-checks.ts";
import type { Principal } from "./principal.ts";
import type { Principals } from "./principals.ts";
import type { Rights } from "./rights.ts";
import { checkRoot } from "./root-signature.ts";
import { signAsRoot } from "./sign.ts";
import type { Tokens } from "./tokens.ts";
import { addSessionsToTrust, removeSessionsFromTrust } from "./trust.ts";

/** What the API and the registry share. */
export interface Services {
  readonly emulator: Emulator;
  readonly principals: Principals;
  readonly rights: Rights;
  readonly tokens: Tokens;
}

/** The handler of requests to the AWS API. */
export class Api {
  readonly #shared: Services;
  readonly #access: Access;

  constructor(shared: Services) {
    this.#shared = shared;
    this.#access = new Access(shared.emulator, shared.principals);
  }

  /** Handles one request. Rejects where the emulator does not respond. */
  readonly serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const given = await buffer(incoming);
    const asked = parseAwsRequest(incoming, given);
    const isForm = asked === undefined || /^(iam|sts):/.test(asked.action);
    const own = { ...this.#shared, address: incoming.socket.remoteAddress ?? "" };
    const principal = await own.principals.findByKey(asked?.key);
    const sent = await this.#check(asked, incoming, given, { ...own, principal });
    if ("code" in sent) {
      recordOperation(asked, sent.status, { error: sent.code });
      refuse(sent, response, isForm);
      return;
    }
    const answer = await this.#forward(incoming, sent, asked, principal);
    const [status = 502, said] = [answer.statusCode, answer.said];
    const { secrets, ...known } = parseAwsResponse(status, said);
    recordSecrets(secrets);
    recordOperation(asked, status, known);
    if (isForm) own.principals.recordSession(new URLSearchParams(given.toString()), said.toString());
    const body = status === 200 ? await this.#completed(asked, said, { ...own, given }) : said;
    delete answer.headers["transfer-encoding"];
    if ("code" in body) refuse(body, response, isForm);
    else response.writeHead(status, { ...answer.headers, "content-length": body.length }).end(body);
  };

  /** Returns the body for the emulator, or a refusal. */
  async #check(
    asked: AwsOperation | undefined,
    incoming: IncomingMessage,
    given: Buffer,
    own: EcrContext & { readonly principal: Principal | undefined },
  ): Promise<Buffer | Refusal> {
    const refusal = (await checkRoot(incoming, given)) ?? (await this.#refusal(asked, incoming, given, own));
    return refusal ?? checkOperation(asked, given, own, incoming.url);
  }

  /** The refusal by the principal's rights; undefined where the request is allowed, or the emulator decides. */
  async #refusal(
    asked: AwsOperation | undefined,
    { url = "/" }: IncomingMessage,
    body: Buffer,
    own: EcrContext & { readonly principal: Principal | undefined },
  ): Promise<Refusal | undefined> {
    const { principal, address } = own;
    // The emulator refuses unknown keys.
    if (asked === undefined || principal === undefined) return undefined;
    if (asked.action.startsWith("ecr:")) return checkEcr(asked, body, { ...own, principal });
    return principal.kind === "root" ? undefined : this.#access.refusal({ asked, principal, address, url, body });
  }

  /**
   * Forwards a request to the emulator, which checks the signature. The emulator knows neither all condition keys nor all resources:
   * where it denies a request that the gateway has allowed, the request is sent again, signed by the account's root.
   */
  async #forward(
    incoming: IncomingMessage,
    body: Buffer,
    asked: AwsOperation | undefined,
    principal: Principal | undefined,
  ): Promise<IncomingMessage & { said: Buffer }> {
    const { endpoint } = this.#shared.emulator;
    const answer = await forward(endpoint, incoming, { body });
    const said = await buffer(answer);
    const { error = "" } = parseAwsResponse(answer.statusCode ?? 502, said);
    if (principal === undefined || !isDecidedHere(asked) || !error.startsWith("AccessDenied")) {
      return Object.assign(answer, { said });
    }
    const { method = "", url: path = "", headers } = incoming;
    const [service = ""] = asked.action.split(":");
    const { account } = principal;
    const own = await signAsRoot({ method, path, headers, body, account, region: asked.region ?? "", service });
    const again = await forward(endpoint, incoming, { body, headers: own });
    return Object.assign(again, { said: await buffer(again) });
  }

  /** Adds to a successful response what the emulator lacks. */
  async #completed(
    asked: AwsOperation | undefined,
    answer: Buffer,
    { given, ...own }: EcrContext & { given: Buffer },
  ): Promise<Buffer | Refusal> {
    if (asked === undefined) return answer;
    switch (asked.action) {
      case "eks:DescribeCluster":
        return describeCluster(answer);
      case "ecr:GetAuthorizationToken":
        return this.#issued(asked, answer);
      case "ecr:SetRepositoryPolicy":
        await recordPolicyPrincipals(asked, given, own);
    }
    return asked.action.startsWith("iam:") ? this.#completedByIam(asked, answer) : answer;
  }

  async #issued({ key = "", region = "" }: AwsOperation, answer: Buffer): Promise<Buffer | Refusal> {
    const principal = await this.#shared.principals.findByKey(key);
    return principal === undefined ? unknownSession : this.#shared.tokens.issue(answer, { principal, key, region });
  }

  async #completedByIam({ action, key, role = "" }: AwsOperation, answer: Buffer): Promise<Buffer> {
    if (/^iam:(CreateRole|UpdateAssumeRolePolicy)$/.test(action)) {
      const account = (await this.#shared.principals.findByKey(key))?.account ?? "";
      await addSessionsToTrust(this.#shared.emulator.iam(account), role);
    }
    return Buffer.from(removeSessionsFromTrust(answer.toString()));
  }
}

/** Returns the body for the emulator, or a refusal of requests that are no operations of AWS. */
async function checkOperation(
  asked: AwsOperation | undefined,
  given: Buffer,
  own: EcrContext,
  url?: string,
): Promise<Buffer | Refusal> {
  if (asked === undefined) return url === health ? given : unknownOperation;
  return /^(iam|sts):/.test(asked.action) ? checkIamRequest(given, own.emulator.endpoint) : given;
}

/** Whether the gateway alone decides about a request. Responses of STS depend on the caller, so root must not repeat its requests. */
const isDecidedHere = (asked: AwsOperation | undefined): asked is AwsOperation =>
  asked !== undefined && /^(iam|eks|ecr):/.test(asked.action) && asked.action !== "ecr:GetAuthorizationToken";

/** The emulator's health check. No other path outside the AWS API is open: neither the emulator's controls nor its registry. */
const health = "/_ministack/health";
const unknownOperation: Refusal = {
  status: 404,
  code: "UnknownOperationException",
  message: "This is none of AWS' operations.",
};

/** A session that did not begin through this gateway, so that its principal is unknown. */
const unknownSession: Refusal = {
  status: 403,
  code: "UnrecognizedClientException",
  message: "The security token included in the request is invalid: this gateway did not see it being given.",
};

function refuse({ status, code, message }: Refusal, response: ServerResponse, isForm: boolean): void {
  if (!isForm) {
    response.writeHead(status, { "content-type": "application/x-amz-json-1.1", "x-amzn-errortype": code });
    return void response.end(JSON.stringify({ __type: code, message }));
  }
  const error = `<Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error>`;
  response.writeHead(status, { "content-type": "text/xml" }).end(`<ErrorResponse>${error}</ErrorResponse>`);
}

function recordOperation(
  asked: AwsOperation | undefined,
  status: number,
  answer: { error?: string; createdKey?: string } = {},
): void {
  if (asked !== undefined) recordAwsRequest({ time: new Date().toISOString(), ...asked, status, ...answer });
}
