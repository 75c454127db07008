import assert from "node:assert/strict";
import { chmodSync, statSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { firstPullName, firstPullResource } from "../../infra/first-pull.ts";
import { isSecret } from "../local/pulumi/values.ts";
import { defaultConfig } from "../local/stack.ts";
import { cluster, exampleConfig, ownHost, type DeploymentInputs } from "../support/example-stack.ts";
import { digest, password, runProgram } from "../support/program.ts";

const { find, resources, outputs } = await runProgram(exampleConfig);
const firstPull = firstPullName(ownHost, "ecr-creds-pull");
const deployment = find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs;
const pod = deployment.spec.template.spec;
const [container] = pod.containers;

describe("the image", () => {
  const { raw, inputs } = find("docker:index/image:Image");

  it("is built on the base image for the platform, from paths that are the same in every checkout", () => {
    const args = { BASE_IMAGE: defaultConfig()["ecr-helper:baseImage"] ?? "" };
    assert.match(args.BASE_IMAGE, /^gcr\.io\/distroless\/nodejs24-debian13:nonroot@sha256:[0-9a-f]{64}$/);
    const build = { context: "build/helper", dockerfile: "helper/Dockerfile", platform: "linux/amd64", args };
    assert.deepEqual(inputs["build"], build);
  });

  it("can be read by every user, whatever the umask of who builds it", async () => {
    const bundle = "build/helper/main.js";
    writeFileSync("build/helper.stamp", "outdated");
    chmodSync(bundle, 0o600);
    await runProgram(cluster);
    assert.equal(statSync(bundle).mode & 0o777, 0o644);
  });

  it("is pushed under a tag that is a hash of its content, with the token as a secret", () => {
    assert.match(String(inputs["imageName"]), new RegExp(`^${ownHost}/ecr-helper:[0-9a-f]{12}$`));
    assert.deepEqual(inputs["registry"], { server: ownHost, username: "AWS", password });
    assert.ok(isSecret(raw["registry"]) || isSecret((raw["registry"] as Record<string, unknown>)["password"]));
  });

  it("is deployed by its digest", () => {
    assert.equal(container?.image, `${ownHost}/ecr-helper@${digest}`);
    assert.equal(outputs["imageRef"], `${ownHost}/ecr-helper@${digest}`);
  });

  it("is pulled with a secret that has the same login, until the helper keeps its own", () => {
    const { raw: given, inputs: secret } = find("kubernetes:core/v1:Secret", firstPullResource("ecr-creds-pull"));
    assert.ok(
      isSecret(given["stringData"]) || isSecret((given["stringData"] as Record<string, unknown>)[".dockerconfigjson"]),
    );
    const config = (secret["stringData"] as Record<string, string>)[".dockerconfigjson"] ?? "";
    const auth = Buffer.from(`AWS:${password}`).toString("base64");
    assert.deepEqual(JSON.parse(config), { auths: { [ownHost]: { auth } } });
    assert.deepEqual(pod.imagePullSecrets, [{ name: firstPull }, { name: "ecr-creds-pull" }]);
  });

  it("loses that login from the cluster after the rollout, if the rollout is awaited", async () => {
    const type = "kubernetes:core/v1:SecretPatch";
    const { inputs } = find(type, `${firstPullResource("ecr-creds-pull")}-emptied`);
    const { data, metadata } = inputs as {
      data: Record<string, string>;
      metadata: { name: string; annotations: object };
    };
    assert.equal(Buffer.from(data[".dockerconfigjson"] ?? "", "base64").toString(), '{"auths":{}}');
    assert.equal(metadata.name, firstPull);
    assert.deepEqual(metadata.annotations, { "pulumi.com/patchForce": "true", "ecr-helper/emptied": "the-uid" });
    assert.ok(resources.indexOf(find("kubernetes:apps/v1:Deployment")) < resources.indexOf(find(type)));
    const node = await runProgram({ ...cluster, identity: "node" });
    assert.ok(!node.resources.some((one) => one.type === type));
  });

  it("is pushed after the repository and its policy exist, even with another host", async () => {
    const { resources } = await runProgram({ ...cluster, registryHost: "registry.example:5000" });
    const order = resources.map(({ type }) => type.split(":").at(-1));
    const made = ["Repository", "RepositoryPolicy"].map((type) => order.indexOf(type));
    const pushed = order.indexOf("Image");
    assert.ok(
      made.every((index) => index >= 0 && index < pushed),
      order.join(", "),
    );
  });

  it("is pushed to another host of the registry if one is configured", async () => {
    const program = await runProgram({ ...cluster, registryHost: "registry.example:5000" });
    assert.match(
      String(program.find("docker:index/image:Image").inputs["imageName"]),
      /^registry\.example:5000\/ecr-helper:/,
    );
    const env = (program.find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs).spec.template.spec
      .containers[0]?.env;
    assert.equal(env?.find(({ name }) => name === "ECR_HELPER_REGISTRY_HOST")?.value, "registry.example:5000");
    assert.equal(env.find(({ name }) => name === "ECR_HELPER_REGISTRIES")?.value, ownHost);
  });
});
