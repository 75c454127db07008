// A node whose clock is wrong by more than AWS accepts in a signature, for tokens of the helper's own identity and of a role.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { readConfig } from "../../helper/config/helper-config.ts";
import { ecrTokenSource } from "../../helper/ecr/client.ts";
import { helperEnvironment } from "../support/helper-environment.ts";

const host = "444455556666.dkr.ecr.eu-west-1.amazonaws.com";
const roleArn = "arn:aws:iam::444455556666:role/pulls";
const skew = 3_600_000;

const sts = (content: string): string =>
  `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>${content}</AssumeRoleResult></AssumeRoleResponse>`;
const credentials = sts(
  "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>" +
    "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>",
);
const refusal =
  '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>' +
  "<Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message></Error></ErrorResponse>";

/** Answers as ECR or STS do: only what is signed at the right time, which is an hour later than here. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  await text(request);
  const signedAt = String(request.headers["x-amz-date"]).replace(/^(....)(..)(..T..)(..)(..Z)$/, "$1-$2-$3:$4:$5");
  const now = Date.now() + skew;
  const isRight = Math.abs(Date.parse(signedAt) - now) < 300_000;
  response.setHeader("date", new Date(now).toUTCString());
  const isEcr = request.headers["x-amz-target"] !== undefined;
  response.setHeader("content-type", isEcr ? "application/x-amz-json-1.1" : "text/xml");
  response.statusCode = isRight ? 200 : isEcr ? 400 : 403;
  const token = { authorizationToken: Buffer.from("AWS:password").toString("base64"), expiresAt: now / 1000 + 43_200 };
  const expired = { __type: "InvalidSignatureException", message: "Signature expired" };
  if (isEcr) response.end(JSON.stringify(isRight ? { authorizationData: [token] } : expired));
  else response.end(isRight ? credentials : refusal);
}

describe("a clock that is an hour wrong", () => {
  const server = createServer((request, response) => void answer(request, response));
  const environment = { ...process.env };
  before(async () => {
    await once(server.listen(0, "127.0.0.1"), "listening");
    const { port } = server.address() as AddressInfo;
    const keys = { AWS_ACCESS_KEY_ID: "AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret", AWS_SESSION_TOKEN: "" };
    Object.assign(process.env, { AWS_ENDPOINT_URL: `http://127.0.0.1:${String(port)}`, ...keys });
  });
  after(() => {
    process.env = environment;
    server.close();
  });

  it("is put right after a refusal, for tokens that a role asks for, too", async () => {
    const config = readConfig({
      ...helperEnvironment,
      AWS_ENDPOINT_URL: process.env["AWS_ENDPOINT_URL"] ?? "",
      ECR_HELPER_REGISTRIES: `111122223333.dkr.ecr.eu-west-1.amazonaws.com,${host}`,
      ECR_HELPER_REGISTRY_ROLES: JSON.stringify([{ roleArn, sessionTags: {}, hosts: [host] }]),
    });
    const request = ecrTokenSource(config);
    for (const name of config.tokenRequests.keys()) {
      const attempts: string[] = [];
      while (attempts.length < 5 && !attempts.includes("password")) {
        const token = request(name, AbortSignal.timeout(10_000));
        attempts.push(
          await token.then(
            ({ password }) => password,
            (error: unknown) => String(error),
          ),
        );
      }
      assert.equal(attempts.at(-1), "password", attempts.join("\n"));
    }
  });
});
