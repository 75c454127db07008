// The Docker provider, as far as infra/ uses it: its Image.
import dockerPackage from "@pulumi/docker/package.json" with { type: "json" };
import type { Plugin } from "../plugin.ts";
import type { CheckFailure } from "../schema.ts";
import type { Properties } from "../values.ts";
import { assertDaemon, type DockerSession } from "./daemon.ts";
import { image } from "./image.ts";

const known = ["host", "disableDockerDaemonCheck", "registryAuth", "context"];
const unsupported = ["caMaterial", "certMaterial", "certPath", "keyMaterial", "sshOpts"];

const failuresOf = (config: Properties): CheckFailure[] =>
  Object.keys(config).flatMap((property) => {
    if (known.includes(property)) return [];
    const reason = unsupported.includes(property)
      ? `this stand-in does not carry out docker:${property}`
      : `could not validate provider configuration: Invalid or unknown key. Check \`pulumi config get docker:${property}\`.`;
    return [{ property, reason }];
  });

/** The provider's types, by their tokens. */
export const dockerTypes = { "docker:index/image:Image": image } as const;

/** Opens a session with the daemon of the configuration, of DOCKER_HOST, or of the usual socket. */
export const dockerSession = (config: Properties = {}, log: DockerSession["log"] = () => undefined): DockerSession => ({
  host:
    typeof config["host"] === "string" ? config["host"] : (process.env["DOCKER_HOST"] ?? "unix:///var/run/docker.sock"),
  log,
});

/** What its plugin serves. */
export const dockerProvider: Plugin<DockerSession> = {
  name: "docker",
  version: dockerPackage.version,
  checkConfig: async (config) => Promise.resolve(failuresOf(config)),
  secretConfig: [],
  configure: async (config, log) => {
    const [failure] = failuresOf(config);
    if (failure !== undefined) throw new Error(failure.reason);
    const session = dockerSession(config, log);
    // Measured with the real provider: without a daemon every operation fails, a destroy too.
    if (config["disableDockerDaemonCheck"] !== true) await assertDaemon(session);
    return session;
  },
  types: dockerTypes,
  functions: {},
};
