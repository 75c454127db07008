// The key `image`: the stack deploys an image that somebody else built.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { firstPullName, firstPullResource } from "../../infra/first-pull.ts";
import { configError, mistakesOf } from "../support/config-error.ts";
import { cluster, ownHost, policyOf, type DeploymentInputs } from "../support/example-stack.ts";
import { account, digest, password, runProgram, type Program } from "../support/program.ts";

const theirHost = "444455556666.dkr.ecr.us-east-1.amazonaws.com";
const here = `${ownHost}/tools/ecr-helper@${digest}`;
const there = `${theirHost}/tools/ecr-helper@${digest}`;
const elsewhere = `ghcr.io/example/ecr-helper@${digest}`;

const podOf = ({ find }: Program): DeploymentInputs["spec"]["template"]["spec"] =>
  (find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs).spec.template.spec;
const pulledBy = ({ find }: Program): string[] =>
  policyOf(find("aws:iam/policy:Policy").inputs).Statement.flatMap((one) =>
    one.Sid === "PullImages" ? (one as unknown as { Resource: string[] }).Resource : [],
  );

/** Runs the program, and returns it with the arguments of each request for an authorization token. */
async function runWith(given: Readonly<Record<string, string>>): Promise<{ program: Program; requests: object[] }> {
  const requests: object[] = [];
  const token = "aws:ecr/getAuthorizationToken:getAuthorizationToken";
  const answer = (inputs: object): Record<string, unknown> => {
    requests.push(inputs);
    return { userName: "AWS", password };
  };
  return { program: await runProgram({ ...cluster, ...given }, { answers: { [token]: answer } }), requests };
}

describe("an image that somebody else built", () => {
  it("is deployed as it is, without a resource of the Docker provider", async () => {
    for (const image of [here, elsewhere, `127.0.0.1:5000/a@${digest}`, `localhost/a/b@${digest}`]) {
      const { program } = await runWith({ image });
      assert.equal(podOf(program).containers[0]?.image, image);
      assert.equal(program.outputs["imageRef"], image);
      assert.deepEqual(
        program.resources.filter(({ type, provider }) => /docker|HelperImage/.test(type + provider)),
        [],
      );
    }
  });

  it("changes nothing else in AWS: the stack still has its repository", async () => {
    const inAws = ({ resources }: Program): unknown[] =>
      resources.filter(({ type }) => type.startsWith("aws:")).map(({ type, inputs }) => [type, inputs]);
    const [built, { program }] = [await runProgram(cluster), await runWith({ image: here })];
    assert.deepEqual(inAws(program), inAws(built));
    assert.equal(program.outputs["repositoryUrl"], `${ownHost}/ecr-helper`);
  });

  it("in ECR is pulled first with the login of who deploys, for its host and region", async () => {
    for (const { image, host, args, registries } of [
      { image: here, host: ownHost, args: {}, registries: "[]" },
      { image: there, host: theirHost, args: { region: "us-east-1" }, registries: `["${theirHost}"]` },
    ]) {
      const { program, requests } = await runWith({ image, registries });
      assert.deepEqual(requests, [args]);
      const name = firstPullResource("ecr-creds-pull", "/", host);
      const { inputs } = program.find("kubernetes:core/v1:Secret", name);
      const { ".dockerconfigjson": config = "" } = inputs["stringData"] as Record<string, string>;
      assert.deepEqual(JSON.parse(config), {
        auths: { [host]: { auth: Buffer.from(`AWS:${password}`).toString("base64") } },
      });
      assert.deepEqual(podOf(program).imagePullSecrets, [{ name }, { name: "ecr-creds-pull" }]);
      assert.notEqual(name, firstPullName(host, "ecr-creds-pull"), "both exist while one follows the other");
      program.find("kubernetes:core/v1:SecretPatch", `${name}-emptied`);
    }
  });

  it("on another host of the stack's own registry is one of that registry", async () => {
    const registryHost = "vpce.example:5000";
    const { program } = await runWith({
      image: `${registryHost}/tools/ecr-helper@${digest}`,
      registryHost,
      pullRepositories: "[]",
    });
    program.find("kubernetes:core/v1:Secret", firstPullResource("ecr-creds-pull", "/", registryHost));
    const arns = ["ecr-helper", "tools/ecr-helper"].map(
      (name) => `arn:aws:ecr:eu-central-1:${account}:repository/${name}`,
    );
    assert.deepEqual(pulledBy(program), arns);
  });

  it("in another registry than ECR is pulled without a login of the stack", async () => {
    const { program, requests } = await runWith({ image: elsewhere });
    assert.deepEqual(requests, []);
    assert.equal(podOf(program).imagePullSecrets, undefined);
    assert.ok(!program.resources.some(({ name }) => name.startsWith("ecr-helper-image-")));
  });

  it("can be pulled with the helper's credentials, whatever pullRepositories has", async () => {
    const registries = `["${theirHost}"]`;
    const { program } = await runWith({ image: there, registries, pullRepositories: '["base/*"]' });
    const theirs = "arn:aws:ecr:us-east-1:444455556666:repository/";
    assert.deepEqual(
      pulledBy(program).filter((arn) => arn.startsWith(theirs)),
      [`${theirs}tools/ecr-helper`, `${theirs}base/*`],
    );
    const policies = program.outputs["crossAccountPolicy"] as Record<string, object>;
    assert.deepEqual(Object.keys(policies[theirHost] ?? {}), ["base/*", "tools/ecr-helper"]);
  });

  it("runs on Linux nodes of any architecture, unless nodeSelector names one", async () => {
    const linux = { "kubernetes.io/os": "linux" };
    assert.deepEqual(podOf((await runWith({ image: here })).program).nodeSelector, linux);
    const nodeSelector = '["kubernetes.io/arch=arm64"]';
    const arm = podOf((await runWith({ image: here, nodeSelector })).program).nodeSelector;
    assert.deepEqual(arm, { ...linux, "kubernetes.io/arch": "arm64" });
    const [mistake = ""] = mistakesOf({ image: here, nodeSelector: ["kubernetes.io/os=linux"] });
    assert.match(
      mistake,
      /nodeSelector = "kubernetes\.io\/os=linux": expected another KEY: the helper always runs on /,
    );
  });
});

describe("a wrong image", () => {
  it("is refused without a digest or a host, and with a tag", () => {
    const form = "expected HOST/NAME@sha256:DIGEST, without a tag, which could move to another image";
    for (const image of [
      `${ownHost}/ecr-helper:1`,
      `${ownHost}/ecr-helper:1@${digest}`,
      `${ownHost}/ecr-helper`,
      `ecr-helper@${digest}`,
      `library/ecr-helper@${digest}`,
      `https://${ownHost}/ecr-helper@${digest}`,
      `${ownHost}/Helper@${digest}`,
      `${ownHost}/ecr-helper@${digest}0`,
      `${ownHost}/ecr-helper@sha512:${"0".repeat(128)}`,
      `host.example:99999/ecr-helper@${digest}`,
    ]) {
      assert.deepEqual(mistakesOf({ image }), [`ecr-helper:image = ${JSON.stringify(image)}: ${form}`]);
    }
  });

  it("is refused in an ECR registry that the helper keeps no login for", () => {
    for (const host of [
      theirHost,
      `${account}.dkr.ecr.us-east-1.amazonaws.com`,
      `${account}.dkr.ecr.cn-north-1.amazonaws.com.cn`,
      `${account}.dkr.ecr.eu-central-1.example.com`,
      // Another host of the stack's own registry, which is not among the hosts of the logins either.
      `${account}.dkr-ecr.eu-central-1.on.aws`,
    ]) {
      const [mistake = "", ...others] = mistakesOf({ image: `${host}/ecr-helper@${digest}` });
      assert.match(
        mistake,
        /: expected an image in the stack's own registry, or in one of registries, so that the helper /,
      );
      assert.deepEqual(others, []);
    }
  });

  it("is reported in one error with the keys that are of an image which the stack builds", () => {
    const [platform = "", baseImage = "", ...others] = mistakesOf({
      image: here,
      platform: "linux/arm64",
      baseImage: "node:24",
    })
      .sort()
      .reverse();
    assert.match(
      platform,
      /platform = "linux\/arm64": expected its default, linux\/amd64: the stack builds no image, as /,
    );
    assert.match(
      baseImage,
      /baseImage = "node:24": expected its default, gcr\.io\/distroless\/\S+: the stack builds no/,
    );
    assert.deepEqual(others, []);
    assert.equal(configError({ ...cluster, image: here }), "");
  });
});
