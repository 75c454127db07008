// The AWS API of the local cloud: makes the checks of AWS that the emulator lacks, then forwards the request to the emulator.
import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { parseAwsResponse, parseAwsRequest, type AwsOperation } from "../aws-requests.ts";
import { recordAwsRequest, recordSecrets } from "../audit-log.ts";
import { Access } from "./access.ts";
import { checkEcr, recordPolicyPrincipals, type EcrContext } from "./ecr-checks.ts";
import { describeCluster } from "./describe-cluster.ts";
import { answerEcrPublic, checkEcrPublic } from "./ecr-public.ts";
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
    const requestBody = await buffer(incoming);
    const operation = parseAwsRequest(incoming, requestBody);
    const isForm = operation === undefined || /^(iam|sts):/.test(operation.action);
    const context = { ...this.#shared, address: incoming.socket.remoteAddress ?? "" };
    const principal = await context.principals.findByKey(operation?.key);
    const checked = await this.#check(operation, incoming, requestBody, { ...context, principal });
    if ("code" in checked) {
      recordOperation(operation, checked.status, { error: checked.code });
      refuse(checked, response, isForm);
      return;
    }
    const answer = answerEcrPublic(operation, await this.#forward(incoming, checked, operation, principal));
    const [status = 502, responseBody] = [answer.statusCode, answer.responseBody];
    const { secrets, ...known } = parseAwsResponse(status, responseBody);
    recordSecrets(secrets);
    recordOperation(operation, status, known);
    if (isForm) context.principals.recordSession(new URLSearchParams(requestBody.toString()), responseBody.toString());
    const body =
      status === 200 ? await this.#completed(operation, responseBody, { ...context, requestBody }) : responseBody;
    delete answer.headers["transfer-encoding"];
    if ("code" in body) refuse(body, response, isForm);
    else response.writeHead(status, { ...answer.headers, "content-length": body.length }).end(body);
  };

  /** Returns the body for the emulator, or a refusal. */
  async #check(
    operation: AwsOperation | undefined,
    incoming: IncomingMessage,
    body: Buffer,
    context: EcrContext & { readonly principal: Principal | undefined },
  ): Promise<Buffer | Refusal> {
    const refusal = (await checkRoot(incoming, body)) ?? (await this.#refusal(operation, incoming, body, context));
    return refusal ?? checkOperation(operation, body, context, incoming.url);
  }

  /** The refusal by the principal's rights; undefined where the request is allowed, or the emulator decides. */
  async #refusal(
    operation: AwsOperation | undefined,
    { url = "/" }: IncomingMessage,
    body: Buffer,
    context: EcrContext & { readonly principal: Principal | undefined },
  ): Promise<Refusal | undefined> {
    const { principal, address } = context;
    // The emulator refuses unknown keys.
    if (operation === undefined || principal === undefined) return undefined;
    if (operation.action.startsWith("ecr:")) return checkEcr(operation, body, { ...context, principal });
    const refused = checkEcrPublic(operation);
    if (refused !== undefined || principal.kind === "root") return refused;
    return this.#access.refusal({ operation, principal, address, url, body });
  }

  /**
   * Forwards a request to the emulator, which checks the signature. The emulator knows neither all condition keys nor all resources:
   * where it denies a request that the gateway has allowed, the request is sent again, signed by the account's root.
   */
  async #forward(
    incoming: IncomingMessage,
    body: Buffer,
    operation: AwsOperation | undefined,
    principal: Principal | undefined,
  ): Promise<IncomingMessage & { responseBody: Buffer }> {
    const { endpoint } = this.#shared.emulator;
    const answer = await forward(endpoint, incoming, { body });
    const responseBody = await buffer(answer);
    const { error = "" } = parseAwsResponse(answer.statusCode ?? 502, responseBody);
    if (principal === undefined || !isDecidedHere(operation) || !error.startsWith("AccessDenied")) {
      return Object.assign(answer, { responseBody });
    }
    const { method = "", url: path = "", headers } = incoming;
    const [service = ""] = operation.action.split(":");
    const signer = { account: principal.account, region: operation.region ?? "", service };
    const signedHeaders = await signAsRoot({ method, path, headers, body, ...signer });
    const repeated = await forward(endpoint, incoming, { body, headers: signedHeaders });
    return Object.assign(repeated, { responseBody: await buffer(repeated) });
  }

  /** Adds to a successful response what the emulator lacks. */
  async #completed(
    operation: AwsOperation | undefined,
    answer: Buffer,
    { requestBody, ...context }: EcrContext & { requestBody: Buffer },
  ): Promise<Buffer | Refusal> {
    if (operation === undefined) return answer;
    switch (operation.action) {
      case "eks:DescribeCluster":
        return describeCluster(answer);
      case "ecr:GetAuthorizationToken":
        return this.#issued(operation, answer);
      case "ecr-public:GetAuthorizationToken":
        // No registry of the local cloud takes it: these are of regions.
        return this.#issued({ ...operation, region: "public" }, answer);
      case "ecr:SetRepositoryPolicy":
        await recordPolicyPrincipals(operation, requestBody, context);
    }
    return operation.action.startsWith("iam:") ? this.#completedByIam(operation, answer) : answer;
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

/** Returns the body for the emulator, or a refusal of requests that are not AWS operations. */
async function checkOperation(
  operation: AwsOperation | undefined,
  body: Buffer,
  context: EcrContext,
  url?: string,
): Promise<Buffer | Refusal> {
  if (operation === undefined) return url === health ? body : unknownOperation;
  return /^(iam|sts):/.test(operation.action) ? checkIamRequest(body, context.emulator.endpoint) : body;
}

/** Whether the gateway alone decides about a request. Responses of STS depend on the caller, so root must not repeat its requests. */
const isDecidedHere = (operation: AwsOperation | undefined): operation is AwsOperation =>
  operation !== undefined &&
  /^(iam|eks|ecr):/.test(operation.action) &&
  operation.action !== "ecr:GetAuthorizationToken";

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
  message: "The security token included in the request is invalid: its session did not begin through this gateway.",
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
  operation: AwsOperation | undefined,
  status: number,
  answer: { error?: string; createdKey?: string } = {},
): void {
  if (operation !== undefined) recordAwsRequest({ time: new Date().toISOString(), ...operation, status, ...answer });
}
