// The registry of the local cloud: authorizes requests as Amazon ECR does, then forwards them to the emulator. A valid token has the
// rights of the principal that it was issued to.
import { BatchGetImageCommand, DescribeRepositoriesCommand } from "@aws-sdk/client-ecr";
import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { recordAwsRequest } from "../audit-log.ts";
import type { Services } from "./api.ts";
import type { Emulator } from "./emulator.ts";
import { repositoryArn, undefinedIfNoRepository, type Rights } from "./rights.ts";
import { forward } from "./forward.ts";
import type { Token, Tokens } from "./tokens.ts";
import { url, type Endpoint } from "../settings.ts";
import { parseRegistryRequest, registryOf, type RegistryRequest } from "./registry-requests.ts";

interface RegistryError {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** The handler of requests to the registry. */
export class Registry {
  readonly #emulator: Emulator;
  readonly #own: Endpoint;
  readonly #tokens: Tokens;
  readonly #rights: Rights;

  /** `own` is the address of this registry. */
  constructor(own: Endpoint, { emulator, tokens, rights }: Services) {
    [this.#emulator, this.#own, this.#tokens, this.#rights] = [emulator, own, tokens, rights];
  }

  /** Handles one request. Rejects where the emulator does not respond. */
  readonly serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const token = this.#tokens.find(incoming.headers.authorization);
    const isPing = /^\/v2\/?(\?|$)/.test(incoming.url ?? "");
    // A token is valid only for registries of its own region.
    const isOfAnother = !isPing && token?.region !== registryOf(incoming).region;
    if (token === undefined || isOfAnother) this.#challenge(incoming, response);
    else if (token.expiresAt < Date.now()) refuse(expired, incoming, response);
    else if (isPing) await relay(await forward(this.#emulator.endpoint, incoming), response);
    else await this.#answer(token, incoming, response);
  };

  async #answer(token: Token, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const request = parseRegistryRequest(incoming);
    if (request === undefined) {
      refuse(unsupported, incoming, response);
      return;
    }
    const refused = await this.#refusal(token, incoming.socket.remoteAddress ?? "", request);
    const answer = refused ?? (await forward(this.#emulator.endpoint, incoming, request));
    record(request, token, answer);
    if ("code" in answer) refuse(answer, incoming, response);
    else if (answer.statusCode === 404 && incoming.method !== "HEAD") {
      refuse(missing(await buffer(answer), request), incoming, response);
    } else await relay(answer, response);
  }

  #challenge(incoming: IncomingMessage, response: ServerResponse): void {
    incoming.resume();
    const challenge = `Basic realm="${url(this.#own)}/",service="ecr.amazonaws.com"`;
    response.writeHead(401, { "www-authenticate": challenge, "content-type": "text/plain" }).end("Not Authorized\n");
  }

  async #refusal({ principal }: Token, address: string, request: RegistryRequest): Promise<RegistryError | undefined> {
    const denied = await this.#rights.refusal({ ...request, principal, address });
    if (denied !== undefined) return { status: 403, code: "DENIED", message: denied };
    return request.writtenTag === undefined ? undefined : this.#immutable(request, request.writtenTag);
  }

  /**
   * In a repository with immutable tags a tag can be written only once, and not a second time with the same content either:
   * https://github.com/aws/containers-roadmap/issues/2380
   */
  async #immutable({ repository }: RegistryRequest, imageTag: string): Promise<RegistryError | undefined> {
    const ecr = this.#emulator.ecr(repository);
    const { name } = repository;
    const described = await undefinedIfNoRepository(
      ecr.send(new DescribeRepositoriesCommand({ repositoryNames: [name] })),
    );
    if (described?.repositories?.[0]?.imageTagMutability !== "IMMUTABLE") return undefined;
    const image = { repositoryName: name, imageIds: [{ imageTag }] };
    const { images = [] } = await ecr.send(new BatchGetImageCommand(image));
    if (images.length === 0) return undefined;
    const where = `already exists in the '${name}' repository`;
    const message = `The image tag '${imageTag}' ${where} and cannot be overwritten because the tag is immutable.`;
    return { status: 400, code: "TAG_INVALID", message };
  }
}

const expired: RegistryError = {
  status: 403,
  code: "DENIED",
  message: "Your authorization token has expired. Reauthenticate and try again.",
};

const unsupported: RegistryError = { status: 404, code: "UNSUPPORTED", message: "The operation is unsupported." };

/** ECR's error for a repository or an image that does not exist. */
function missing(answer: Buffer, { repository: { account, name } }: RegistryRequest): RegistryError {
  const { errors } = JSON.parse(answer.toString()) as { errors: { code: string; message: string }[] };
  const { code, message } = errors[0] ?? { code: "UNSUPPORTED", message: "" };
  const words: Readonly<Record<string, string>> = {
    NAME_UNKNOWN: `The repository with name '${name}' does not exist in the registry with id '${account}'`,
    MANIFEST_UNKNOWN: "Requested image not found",
  };
  return { status: 404, code, message: words[code] ?? message };
}

function record(
  { actions, repository }: RegistryRequest,
  { key }: Token,
  answer: RegistryError | IncomingMessage,
): void {
  const [action = "", ...impliedActions] = actions;
  const fields = { time: new Date().toISOString(), action, impliedActions, key, repository: repositoryArn(repository) };
  if (!("code" in answer)) recordAwsRequest({ ...fields, status: answer.statusCode ?? 502 });
  else
    recordAwsRequest({
      ...fields,
      status: answer.status,
      error: answer.code === "DENIED" ? "AccessDenied" : answer.code,
    });
}

function refuse({ status, code, message }: RegistryError, incoming: IncomingMessage, response: ServerResponse): void {
  incoming.resume();
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ errors: [{ code, message }] }));
}

async function relay(answer: IncomingMessage, response: ServerResponse): Promise<void> {
  response.writeHead(answer.statusCode ?? 502, answer.headers);
  await pipeline(answer, response);
}
