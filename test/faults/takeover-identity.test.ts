// A helper of the last rollout's identity that takes over once more: that identity may be gone, and its tokens revoked.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { isTokenRequest } from "../support/counted-gateway.ts";
import { answer } from "../support/fault.ts";
import { createProxiedHelper, type ProxiedHelper } from "./proxied-helper.ts";

const id = randomBytes(3).toString("hex");
const namespace = `last-${id}`;
const denied = answer(400, { __type: "UnrecognizedClientException", message: "The security token is invalid." });

describe("a helper that stood by while another identity took over", () => {
  let proxied: ProxiedHelper;
  before(async () => (proxied = await createProxiedHelper([namespace], 3_600_000)));
  after(async () => proxied.close());

  it("leaves the login that is there until its own identity is issued a token", async () => {
    const last = proxied.run({ ECR_HELPER_POD: `last-${id}`, ECR_HELPER_TEMPLATE: "last" });
    await last.line(/the secret will expire/);
    const old = await proxied.login(namespace);
    const next = proxied.run({
      ECR_HELPER_POD: `next-${id}`,
      ECR_HELPER_TEMPLATE: "next",
      ECR_HELPER_PRINCIPAL: "arn:aws:iam::123456789012:role/next",
    });
    const login = await proxied.waitForNewLogin(namespace, old);
    await next.line(/the secret will expire/);
    const fault = proxied.aws.inject(isTokenRequest, denied);
    const from = last.lines.length;
    await next.stop();
    await last.line(/no authorization token for us-east-1.*the last good token stays in place/, from);
    assert.equal(await proxied.login(namespace), login);
    fault.lift();
    await proxied.waitForNewLogin(namespace, login);
    await last.stop();
  });
});
