// Which hosts of AWS are asked for tokens. A proxy on this machine records them and leads nowhere.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, describe, it } from "node:test";
import { readConfig } from "../../helper/config/helper-config.ts";
import { ecrTokenSource } from "../../helper/ecr/client.ts";
import { helperEnvironment } from "../support/helper-environment.ts";

const host = (form: string): string => `111122223333.${form}`;
const accessKey = { AWS_ACCESS_KEY_ID: "AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret" };
const webIdentity = { AWS_ROLE_ARN: "arn:aws:iam::111122223333:role/any", AWS_WEB_IDENTITY_TOKEN_FILE: "package.json" };
const pushRole = "arn:aws:iam::111122223333:role/ecr-helper-push";
const variables = { ...accessKey, ...webIdentity, AWS_ENDPOINT_URL: "", AWS_ENDPOINT_URL_STS: "" };

describe("a token", () => {
  const asked: string[] = [];
  const proxy = createServer();
  const inherited = { ...process.env };

  before(async () => {
    proxy.on("connect", (request, socket) => {
      asked.push(String(request.url).replace(/:443$/, ""));
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
  });
  beforeEach(() => {
    for (const name of Object.keys(variables)) Reflect.deleteProperty(process.env, name);
  });
  after(async () => {
    process.env = inherited;
    proxy.close();
    await once(proxy, "close");
  });

  /** The host that is asked for each token, by its name. The first registry is the stack's own. */
  const hostsAsked = async (
    registries: readonly string[],
    env: Readonly<Record<string, string>>,
  ): Promise<Record<string, string>> => {
    // The SDK reads its own variables from the process.
    Object.assign(process.env, env);
    const { port } = proxy.address() as AddressInfo;
    const ECR_HELPER_PROXY = `http://127.0.0.1:${String(port)}`;
    const ECR_HELPER_REGISTRIES = registries.join(",");
    const config = readConfig({ ...helperEnvironment, ECR_HELPER_PROXY, ECR_HELPER_REGISTRIES, ...env });
    const source = ecrTokenSource(config);
    const found: Record<string, string> = {};
    for (const name of config.tokenRequests.keys()) {
      asked.length = 0;
      await assert.rejects(source(name, new AbortController().signal), /403 Forbidden/);
      found[name] = asked.join();
    }
    return found;
  };

  it("is requested at its region's endpoint, in every partition", async () => {
    const suffixes = {
      "eu-central-1": "amazonaws.com",
      "cn-north-1": "amazonaws.com.cn",
      "us-gov-west-1": "amazonaws.com",
      "eusc-de-east-1": "amazonaws.eu",
      "us-iso-east-1": "c2s.ic.gov",
      "us-isob-east-1": "sc2s.sgov.gov",
      "eu-isoe-west-1": "cloud.adc-e.uk",
      "us-isof-south-1": "csp.hci.ic.gov",
    };
    const regions = Object.entries(suffixes).map(([region, suffix]) => [region, `${region}.${suffix}`] as const);
    assert.deepEqual(
      await hostsAsked(
        regions.map(([, place]) => host(`dkr.ecr.${place}`)),
        accessKey,
      ),
      Object.fromEntries(regions.map(([region, place]) => [region, `api.ecr.${place}`])),
    );
  });

  it("is requested at the FIPS or dual-stack endpoint of a region with such a host, and of no other region", async () => {
    const registries = [
      "dkr.ecr.eu-central-1.amazonaws.com",
      "dkr.ecr.us-east-1.amazonaws.com",
      "dkr.ecr-fips.us-east-1.amazonaws.com",
      "dkr-ecr.eu-west-1.on.aws",
      "dkr-ecr-fips.us-west-2.on.aws",
      "dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
      "dkr-ecr.eusc-de-east-1.on.amazonwebservices.eu",
    ].map(host);
    assert.deepEqual(await hostsAsked(registries, accessKey), {
      "eu-central-1": "api.ecr.eu-central-1.amazonaws.com",
      "us-east-1": "api.ecr-fips.us-east-1.amazonaws.com",
      "eu-west-1": "ecr.eu-west-1.api.aws",
      "us-west-2": "ecr-fips.us-west-2.api.aws",
      "cn-north-1": "ecr.cn-north-1.api.amazonwebservices.com.cn",
      "eusc-de-east-1": "ecr.eusc-de-east-1.api.amazonwebservices.eu",
    });
  });

  it("of the stack's own region follows registryHost, too", async () => {
    const own = [host("dkr.ecr.us-gov-west-1.amazonaws.com")];
    const requested = async (name: string): Promise<unknown> =>
      hostsAsked(own, { ...accessKey, ECR_HELPER_REGISTRY_HOST: name });
    assert.deepEqual(await requested(host("dkr.ecr-fips.us-gov-west-1.amazonaws.com")), {
      "us-gov-west-1": "api.ecr-fips.us-gov-west-1.amazonaws.com",
    });
    assert.deepEqual(await requested("registry.example"), {
      "us-gov-west-1": "api.ecr.us-gov-west-1.amazonaws.com",
    });
  });

  it("needs STS, for a web identity or a push role, at an endpoint of the same kind", async () => {
    const registries = ["dkr.ecr-fips.us-east-1.amazonaws.com", "dkr-ecr.eu-west-1.on.aws"].map(host);
    const [fips, dualStack] = ["sts-fips.us-east-1.amazonaws.com", "sts.eu-west-1.api.aws"];
    assert.deepEqual(await hostsAsked(registries, webIdentity), { "us-east-1": fips, "eu-west-1": dualStack });
    for (const name of Object.keys(webIdentity)) Reflect.deleteProperty(process.env, name);
    const { "us-east-1 (push)": here, "eu-west-1 (push)": there } = await hostsAsked(registries, {
      ...accessKey,
      ECR_HELPER_PUSH_ROLE: pushRole,
    });
    assert.deepEqual([here, there], [fips, fips], "the role is assumed in the stack's own region");
  });

  it("of ECR Public is requested at its endpoint in us-east-1, by the default kind of endpoint", async () => {
    const own = host("dkr-ecr-fips.us-west-2.on.aws");
    assert.deepEqual(await hostsAsked([own, "public.ecr.aws"], accessKey), {
      "us-west-2": "ecr-fips.us-west-2.api.aws",
      "public.ecr.aws": "api.ecr-public.us-east-1.amazonaws.com",
    });
    const url = { AWS_ENDPOINT_URL: "https://ecr.invalid" };
    const { "public.ecr.aws": asked } = await hostsAsked([own, "public.ecr.aws"], { ...accessKey, ...url });
    assert.equal(asked, "ecr.invalid");
  });

  it("of a registry with a role needs STS in the stack's own region, by the kind of endpoint of the stack's registry", async () => {
    const [own, there] = ["dkr.ecr-fips.us-east-1.amazonaws.com", "dkr-ecr.eu-west-1.on.aws"].map(host);
    const roleArn = "arn:aws:iam::444455556666:role/pulls";
    const ECR_HELPER_REGISTRY_ROLES = JSON.stringify([{ roleArn, sessionTags: {}, hosts: [there] }]);
    const registries = [String(own), String(there)];
    assert.deepEqual(await hostsAsked(registries, { ...accessKey, ECR_HELPER_REGISTRY_ROLES }), {
      "us-east-1": "api.ecr-fips.us-east-1.amazonaws.com",
      [`eu-west-1 as ${roleArn}`]: "sts-fips.us-east-1.amazonaws.com",
    });
  });

  it("is requested at the URLs of the configuration instead, whatever the hosts", async () => {
    const registries = ["dkr.ecr-fips.us-east-1.amazonaws.com", "dkr-ecr.eu-west-1.on.aws"].map(host);
    const [ecr, sts] = ["ecr.invalid", "sts.invalid"];
    const urls = { AWS_ENDPOINT_URL: `https://${ecr}`, ECR_HELPER_PUSH_ROLE: pushRole };
    const everywhere = (endpoint: string): object => ({
      "us-east-1": ecr,
      "eu-west-1": ecr,
      "us-east-1 (push)": endpoint,
      "eu-west-1 (push)": endpoint,
    });
    assert.deepEqual(await hostsAsked(registries, { ...accessKey, ...urls }), everywhere(ecr));
    const both = { ...urls, AWS_ENDPOINT_URL_STS: `https://${sts}` };
    assert.deepEqual(await hostsAsked(registries, { ...accessKey, ...both }), everywhere(sts));
  });
});
