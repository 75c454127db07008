// A stand-in for Pulumi's language host for Node, where the official one is not available. It runs the program with Pulumi's own SDK
// and implements the calls of up, preview, refresh, destroy, import, install and about.
// https://github.com/pulumi/pulumi/blob/master/proto/pulumi/language.proto
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import * as grpc from "@grpc/grpc-js";
import languageService from "@pulumi/pulumi/proto/language_grpc_pb.js";
import language from "@pulumi/pulumi/proto/language_pb.js";
import plugin from "@pulumi/pulumi/proto/plugin_pb.js";
import empty from "google-protobuf/google/protobuf/empty_pb.js";
import { serve, unary } from "./grpc.ts";

/** The exit code of a program that has already shown its error: @pulumi/pulumi/cmd/run/index.js. */
const bailExitCode = 32;

interface Manifest {
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  /** Only in a package that needs a plugin. */
  readonly pulumi?: { readonly resource?: boolean; readonly name: string; readonly version: string };
}

const engineAddress = process.argv.at(-1) ?? "";
const running = new Set<ChildProcess>();

const readManifest = (folder: string): Manifest =>
  JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;

/** The direct dependencies of a program, by name. */
function dependenciesOf(folder: string): [name: string, Manifest][] {
  const names = Object.keys(readManifest(folder).dependencies ?? {});
  return names.map((name) => [name, readManifest(join(folder, "node_modules", name))]);
}

/** The plugins that the program's packages need, in the versions of the installed packages. */
function requiredPackages(folder: string): plugin.PackageDependency[] {
  return dependenciesOf(folder).flatMap(([, { pulumi }]) =>
    pulumi?.resource === true
      ? [new plugin.PackageDependency().setKind("resource").setName(pulumi.name).setVersion(`v${pulumi.version}`)]
      : [],
  );
}

/** The arguments of Pulumi's SDK for a run: @pulumi/pulumi/cmd/run/index.js. */
function argumentsOf(request: language.RunRequest): string[] {
  const info = request.getInfo();
  const flags: Readonly<Record<string, string>> = {
    monitor: request.getMonitorAddress(),
    engine: engineAddress,
    organization: request.getOrganization(),
    project: request.getProject(),
    stack: request.getStack(),
    "root-directory": info?.getRootDirectory() ?? "",
    pwd: request.getPwd(),
    parallel: String(request.getParallel()),
  };
  const set = Object.entries(flags).filter(([, value]) => value !== "");
  const program = info?.getEntryPoint() ?? request.getProgram();
  const dryRun = request.getDryrun() ? ["--dry-run"] : [];
  return [...set.flatMap(([name, value]) => [`--${name}`, value]), ...dryRun, program, ...request.getArgsList()];
}

async function run(request: language.RunRequest, over: AbortSignal): Promise<language.RunResponse> {
  const sdk = createRequire(join(request.getPwd(), "package.json")).resolve("@pulumi/pulumi/cmd/run");
  const env = {
    ...process.env,
    PULUMI_CONFIG: JSON.stringify(Object.fromEntries(request.getConfigMap().toObject(true))),
    PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(request.getConfigsecretkeysList()),
    // Node itself runs TypeScript; otherwise the SDK would load ts-node.
    PULUMI_NODEJS_TYPESCRIPT: "false",
  };
  const program = spawn(process.execPath, [sdk, ...argumentsOf(request)], {
    cwd: request.getPwd(),
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const output of [program.stdout, program.stderr]) forwardOutput(output);
  running.add(program);
  over.addEventListener("abort", () => program.kill("SIGKILL"));
  const [code, signal] = (await once(program, "exit")) as [number | null, NodeJS.Signals | null];
  running.delete(program);
  const response = new language.RunResponse();
  if (code === bailExitCode) return response.setBail(true);
  return code === 0
    ? response
    : response.setError(`Program exited with ${signal ?? `non-zero exit code: ${String(code)}`}`);
}

/**
 * Writes output of the program to standard error, which the engine shows; standard output is only for the port. After a resource has
 * failed the engine closes its log while the program is still running, and the SDK dumps that error, which is of no use.
 */
function forwardOutput(output: Readable): void {
  let isHeard = true;
  createInterface({ input: output }).on("line", (line) => {
    isHeard &&= !line.startsWith("failed to deliver log message");
    if (isHeard) process.stderr.write(`${line}\n`);
  });
}

async function install(request: language.InstallDependenciesRequest, write: (text: string) => void): Promise<void> {
  const npm = spawn("npm", ["ci"], { cwd: request.getDirectory(), stdio: ["ignore", "pipe", "pipe"] });
  const output = Promise.all([text(npm.stdout), text(npm.stderr)]);
  const [code] = (await once(npm, "exit")) as [number | null];
  write((await output).join(""));
  if (code !== 0) throw new Error(`npm ci failed with exit code ${String(code)}`);
}

const unimplemented = (what: string): Error =>
  Object.assign(new Error(`${what} is a part of Pulumi's own language host for Node alone`), {
    code: grpc.status.UNIMPLEMENTED,
  });

function about(): language.AboutResponse {
  return new language.AboutResponse().setExecutable(process.execPath).setVersion(process.version);
}

function programDependencies(request: language.GetProgramDependenciesRequest): language.GetProgramDependenciesResponse {
  const folder = request.getInfo()?.getProgramDirectory() ?? request.getPwd();
  const all = dependenciesOf(folder).map(([name, { version }]) =>
    new language.DependencyInfo().setName(name).setVersion(version),
  );
  return new language.GetProgramDependenciesResponse().setDependenciesList(all);
}

await serve(languageService.LanguageRuntimeService, {
  handshake: unary(async () => Promise.resolve(new language.LanguageHandshakeResponse())),
  getPluginInfo: unary(async () => {
    const { version } = readManifest(join(import.meta.dirname, "../../../node_modules/@pulumi/pulumi"));
    return Promise.resolve(new plugin.PluginInfo().setVersion(version));
  }),
  getRequiredPlugins: unary(async () => Promise.resolve(new language.GetRequiredPluginsResponse())),
  getRequiredPackages: unary(async (request: language.GetRequiredPackagesRequest) => {
    const packages = requiredPackages(request.getInfo()?.getProgramDirectory() ?? process.cwd());
    return Promise.resolve(new language.GetRequiredPackagesResponse().setPackagesList(packages));
  }),
  run: (
    call: grpc.ServerUnaryCall<language.RunRequest, language.RunResponse>,
    answer: grpc.sendUnaryData<language.RunResponse>,
  ): void => {
    // The engine cancels the call when a resource fails. The program's own error about that would be of no use.
    const over = new AbortController();
    call.on("cancelled", () => over.abort());
    unary(async (request: language.RunRequest) => run(request, over.signal))(call, answer);
  },
  about: unary(async () => Promise.resolve(about())),
  getProgramDependencies: unary(async (request: language.GetProgramDependenciesRequest) =>
    Promise.resolve(programDependencies(request)),
  ),
  runtimeOptionsPrompts: unary(async () => Promise.resolve(new language.RuntimeOptionsResponse())),
  installDependencies: (call: {
    request: language.InstallDependenciesRequest;
    write: (response: language.InstallDependenciesResponse) => void;
    end: () => void;
    destroy: (error: Error) => void;
  }): void => {
    const write = (output: string): void =>
      call.write(new language.InstallDependenciesResponse().setStdout(Buffer.from(output)));
    install(call.request, write).then(
      () => call.end(),
      (error: unknown) => call.destroy(error as Error),
    );
  },
  // Only commands that generate or publish code call these.
  ...Object.fromEntries(
    ["runPlugin", "generateProgram", "generateProject", "generatePackage", "pack", "link", "template"].map((name) => [
      name,
      unary(async () => Promise.reject(unimplemented(name))),
    ]),
  ),
  cancel: unary(async () => {
    for (const program of running) program.kill();
    return Promise.resolve(new empty.Empty());
  }),
});
