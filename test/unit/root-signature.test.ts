// A request is accepted as one of an account's root only if it is signed with the root's key, as AWS' own clients sign.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EKSClient, ListPodIdentityAssociationsCommand } from "@aws-sdk/client-eks";
import { CreateUserCommand, IAMClient } from "@aws-sdk/client-iam";
import type { ReceivedRequest } from "../local/aws-requests.ts";
import { checkRoot } from "../local/gateway/root-signature.ts";

const account = "123456789012";
const secretAccessKey = "the root's secret";
const keyOf = (accessKeyId: string) => async () => Promise.resolve({ accessKeyId, secretAccessKey });

interface Sent {
  method: string;
  path: string;
  query: Record<string, string>;
  headers: Record<string, string>;
  body?: string;
}

/** What a client sends, without a network. */
async function signed(secret: string, accessKeyId = account): Promise<[iam: Sent, eks: Sent]> {
  const sent: Sent[] = [];
  const requestHandler = {
    handle: async (request: unknown): Promise<never> => {
      sent.push(request as Sent);
      return Promise.reject(new Error("there is no network"));
    },
  };
  const credentials = { accessKeyId, secretAccessKey: secret };
  const options = { region: "us-east-1", endpoint: "http://aws:4566", credentials, requestHandler, maxAttempts: 1 };
  const input = { clusterName: "a (b)", namespace: "c d+e/f" };
  await assert.rejects(new IAMClient(options).send(new CreateUserCommand({ UserName: "u" })), /no network/);
  await assert.rejects(new EKSClient(options).send(new ListPodIdentityAssociationsCommand(input)), /no network/);
  const [iam, eks] = sent;
  assert.ok(iam && eks);
  return [iam, eks];
}

const received = ({ method, path, query, headers }: Sent): ReceivedRequest => {
  const encoded = Object.entries(query).map((pair) => pair.map(encodeURIComponent).join("="));
  const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
  const url = encoded.length === 0 ? path : `${path}?${encoded.join("&")}`;
  return { method, url, headers: Object.fromEntries(lower) as Record<string, string> };
};

const verdict = async (sent: Sent, body = sent.body ?? ""): Promise<string | undefined> =>
  (await checkRoot(received(sent), Buffer.from(body), keyOf))?.code;

describe("the root of an account", () => {
  it("is accepted with its key, for any request", async () => {
    for (const sent of await signed(secretAccessKey)) assert.equal(await verdict(sent), undefined, sent.path);
  });

  it("is refused with another secret, and with a key id that the emulator accepts without a signature", async () => {
    for (const sent of await signed("test")) assert.equal(await verdict(sent), "SignatureDoesNotMatch");
    for (const sent of await signed(secretAccessKey, "test")) assert.equal(await verdict(sent), "InvalidClientTokenId");
  });

  it("is refused if the signed request is changed, or repeated later", async (t) => {
    const [iam, eks] = await signed(secretAccessKey);
    assert.equal(await verdict(iam, `${iam.body ?? ""}&x=y`), "SignatureDoesNotMatch");
    for (const changed of [
      { ...eks, path: "/clusters" },
      { ...eks, method: "DELETE" },
      { ...eks, query: { namespace: "other" } },
      { ...eks, headers: { ...eks.headers, host: "other" } },
    ]) {
      assert.equal(await verdict(changed), "SignatureDoesNotMatch");
    }
    t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 16 * 60_000 });
    assert.equal(await verdict(eks), "SignatureDoesNotMatch");
  });

  it("is refused if the signer is ambiguous; other keys are checked by the emulator", async () => {
    const [, eks] = await signed(secretAccessKey);
    for (const unclear of [
      { ...eks, query: { "X-Amz-Credential": `${account}/20260101/us-east-1/eks/aws4_request` } },
      { ...eks, query: { AWSAccessKeyId: account } },
      { ...eks, headers: { ...eks.headers, authorization: `AWS ${account}:c2lnbmVk` } },
    ]) {
      assert.equal(await verdict(unclear), "IncompleteSignature");
    }
    for (const sent of await signed("a user's", "AKIAUSER")) assert.equal(await verdict(sent), undefined);
    assert.equal(await verdict({ ...eks, headers: { host: "aws:4566" } }), undefined);
  });
});
