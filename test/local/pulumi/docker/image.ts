// docker:index/image:Image, built and pushed by the docker command. Rules: pulumi-docker provider/provider.go and
// provider/image.go, and what the real provider was measured to do.
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import type { CheckRequest, CheckResult, RememberedResource, LiveResource, ResourceType } from "../resource-type.ts";
import type { DiffRequest, DiffResult } from "../diff.ts";
import { checkInputs, type CheckFailure, type Schema } from "../schema.ts";
import {
  isObject,
  isSame,
  markSecrets,
  plain,
  plainProperties,
  secret,
  secretsIn,
  unknown,
  type Properties,
} from "../values.ts";
import { contextHash } from "./context-hash.ts";
import { buildAndPush, buildOf, hostPlatform } from "./build.ts";
import type { DockerSession } from "./daemon.ts";

const build: Schema = {
  context: { type: "string" },
  dockerfile: { type: "string" },
  args: { type: "map" },
  platform: { type: "string" },
  target: { type: "string" },
  network: { type: "string" },
  addHosts: { type: "list" },
  builderVersion: {
    type: "string",
    // The stand-in always uses the classic builder, whose images are equivalent.
    validate: (version: string) =>
      ["BuilderV1", "BuilderBuildKit"].includes(version) ? undefined : "invalid Docker Builder version",
  },
  cacheFrom: { type: "object", unsupported: true },
};

const schema: Schema = {
  imageName: { type: "string", required: true },
  build: { type: "object", fields: build },
  registry: {
    type: "object",
    fields: { server: { type: "string" }, username: { type: "string" }, password: { type: "string" } },
  },
  skipPush: { type: "boolean" },
  // The SDK sets false by default.
  buildOnPreview: {
    type: "boolean",
    validate: (value) => (value === true ? "this stand-in does not build in a preview" : undefined),
  },
};

/** docker:index/image:Image. */
export const image: ResourceType<DockerSession> = {
  schema,
  check,
  diff,
  preview,
  create,
  read,
  update,
  delete: remove,
};

/** Adds the hash of the build context, and the platform that the daemon builds for. */
async function check({ inputs: news }: CheckRequest, session?: DockerSession): Promise<CheckResult> {
  const inputs = plainProperties(news);
  const failures = [...checkInputs(schema, inputs), ...nameFailures(inputs)];
  if (failures.length > 0 || areFilesUnknown(inputs)) return { inputs: news, failures };
  const { context, dockerfile } = buildOf(inputs);
  const missing = missingDockerfile(context, dockerfile);
  if (missing !== undefined) return { inputs: news, failures: [{ property: "build", reason: missing }] };
  const contextDigest = await contextHash(context, dockerfile);
  const { platform } = (inputs["build"] ?? {}) as { platform?: string };
  if (platform === undefined) {
    const advice = "explicitly setting the `platform` field on ImageBuildOptions.";
    const why = `To ensure you are building for the correct platform, consider ${advice}`;
    session?.log("info", `Building your image for ${hostPlatform} architecture.\n${why}`);
  }
  const completed = {
    ...(inputs["build"] as Properties | undefined),
    platform: platform ?? hostPlatform,
    contextDigest,
  };
  return { inputs: markSecrets({ ...inputs, build: completed }, news), failures };
}

/** Whether the paths of the build's files are still unknown. */
function areFilesUnknown(inputs: Properties): boolean {
  const { build: wanted } = inputs;
  return wanted === unknown || (isObject(wanted) && [wanted["context"], wanted["dockerfile"]].includes(unknown));
}

/** A name must say its registry where the image is pushed (getRegistryAddrFromImage). */
function nameFailures({ imageName, skipPush }: Properties): CheckFailure[] {
  if (typeof imageName !== "string" || imageName === unknown || skipPush === true) return [];
  const [host = "", ...path] = imageName.split("/");
  if (path.length > 0 && (/[.:]/.test(host) || host === "localhost")) return [];
  const example = "prefix your image name with `docker.io`:\n\n`docker.io/repository/image:tag`";
  const reason =
    "repository name must be canonical. This provider requires all image names to be fully qualified.\n" +
    `For example, if you are attempting to push to Dockerhub, ${example}`;
  return [{ property: "imageName", reason }];
}

/** The Dockerfile is relative to the program's folder, and not to the context. */
function missingDockerfile(context: string, dockerfile: string): string | undefined {
  if (existsSync(dockerfile)) return undefined;
  const inContext = join(context, dockerfile);
  const advice = existsSync(inContext) ? `. Try setting \`dockerfile\` to "${inContext}"` : "";
  return `could not open dockerfile at relative path ${dockerfile}${advice}`;
}

/** The old inputs, as the state keeps them (parseCheckpointObject). */
const rememberedInputs = (state: Properties): Properties => (plain(state["__inputs"]) ?? {}) as Properties;

/** Compares old and new inputs. Only the registry's server is compared, because a login may be different in every run. */
function diff({ state, inputs, ignoreChanges = [] }: DiffRequest): DiffResult {
  const [before, after] = [rememberedInputs(state), plainProperties(inputs)].map(comparableInputs);
  const keys = Object.keys(schema).filter((key) => !ignoreChanges.includes(key));
  const changed = keys.filter((key) => !isSame(before?.[key], after?.[key]));
  const kind = (key: string): "ADD" | "DELETE" | "UPDATE" =>
    before?.[key] === undefined ? "ADD" : after?.[key] === undefined ? "DELETE" : "UPDATE";
  const detailed = Object.fromEntries(changed.map((key) => [key, kind(key)]));
  return { changes: changed.length > 0, detailed, replaces: [], deleteBeforeReplace: false };
}

const comparableInputs = (inputs: Properties): Properties => {
  const { registry } = inputs;
  return isObject(registry) ? { ...inputs, registry: { server: registry["server"] } } : inputs;
};

/** In a preview the digest is unknown, because the image is not built. */
function preview(inputs: Properties): Properties {
  const wanted = plainProperties(inputs);
  return markSecrets({ ...plannedOutputs(wanted), repoDigest: unknown }, inputs);
}

function plannedOutputs(inputs: Properties): Properties {
  const { imageName, registry } = inputs;
  const files = areFilesUnknown(inputs) ? { context: unknown, dockerfile: unknown } : filesOf(inputs);
  const platform = isObject(inputs["build"]) ? inputs["build"]["platform"] : undefined;
  const server = isObject(registry) ? (registry["server"] ?? "") : "";
  return {
    imageName,
    baseImageName: imageName,
    ...files,
    registryServer: registry === unknown ? unknown : server,
    ...(platform === undefined ? {} : { platform }),
  };
}

/** The path of the Dockerfile in the outputs is relative to the context. */
function filesOf(inputs: Properties): { context: string; dockerfile: string } {
  const { context, dockerfile } = buildOf(inputs);
  return { context, dockerfile: relative(context, dockerfile) };
}

async function create(inputs: Properties, session: DockerSession): Promise<LiveResource> {
  const wanted = plainProperties(inputs);
  const repoDigest = await buildAndPush(wanted, secretsIn(inputs["build"]), session);
  // The next diff compares with these inputs. They are secret as a whole, because they contain the login.
  const outputs = { ...markSecrets({ ...plannedOutputs(wanted), repoDigest }, inputs), __inputs: secret(wanted) };
  return { id: String(wanted["imageName"]), inputs, outputs };
}

/** There is no drift detection: the state is returned as it is. An import is empty. */
async function read(id: string, _: DockerSession, known?: RememberedResource): Promise<LiveResource | undefined> {
  return Promise.resolve({ id, inputs: known?.inputs ?? {}, outputs: known?.outputs ?? {} });
}

async function update(id: string, _: Properties, inputs: Properties, session: DockerSession): Promise<LiveResource> {
  return { ...(await create(inputs, session)), id };
}

/** The image stays in the daemon and in the registry. */
async function remove(): Promise<void> {
  return Promise.resolve();
}
