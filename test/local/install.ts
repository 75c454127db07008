// What the local cloud is made of, found or made: Debian's packages, the emulator, the Kubernetes binary. What was made
// is kept in the cache under the version and content it was made from.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { access, constants, mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { cache } from "./machine.ts";
import { LocalCloudError, run, succeeds } from "./process.ts";
import { step } from "./progress.ts";

const source = join(import.meta.dirname, "kubernetes");
const emulatorVersion = "1.5.33";
const awsCliVersion = "1.46.3";
const kubernetesVersion = "v1.35.4";

/** Programs the cloud needs and the Debian package that carries each. */
const programs: Record<string, string> = {
  docker: "docker.io",
  dockerd: "docker.io",
  containerd: "containerd",
  runc: "runc",
  iptables: "iptables",
  ip: "iproute2",
  mount: "mount",
  openssl: "openssl",
  "/usr/lib/cni/bridge": "containernetworking-plugins",
};

const findsProgram = async (name: string): Promise<boolean> => {
  const folders = name.startsWith("/") ? [""] : (process.env["PATH"] ?? "").split(delimiter);
  return succeeds(Promise.any(folders.map(async (folder) => access(join(folder, name), constants.X_OK))));
};

/** Installs what the local cloud needs and this machine lacks. Fails where it cannot run, or where nothing can be installed. */
export async function installPackages(): Promise<void> {
  checkMachine(process.platform, process.getuid?.());
  const missing: string[] = [];
  for (const [name, debianPackage] of Object.entries(programs)) {
    if (!(await findsProgram(name))) missing.push(debianPackage);
  }
  if (missing.length === 0) return;
  const packages = [...new Set(missing)];
  checkDistribution(packages, await readRelease());
  await step(`installing ${packages.join(", ")}`, async () => apt(packages));
}

const readRelease = async (): Promise<string> => readFile("/etc/os-release", "utf8").catch(() => "");

/** Fails on a machine that cannot run a kubelet and container engines. */
export function checkMachine(platform: NodeJS.Platform, uid: number | undefined): void {
  if (platform === "linux" && uid === 0) return;
  throw new LocalCloudError(
    `The local cloud runs a real kubelet and container engines, so it needs Linux and root; this is ${platform}, ` +
      `user ${String(uid ?? "unknown")}. Remedy: run it as root on a Linux machine, or use a real cluster ` +
      `(README.md, "On a real cluster").`,
  );
}

/** Fails on a distribution whose packages cannot be installed here. `release` is /etc/os-release. */
export function checkDistribution(packages: readonly string[], release: string): void {
  if (/^ID(_LIKE)?=.*\bdebian\b/m.test(release)) return;
  throw new LocalCloudError(
    `This machine lacks ${packages.join(", ")} (Debian's package names), and only on Debian are they installed from here. ` +
      "Remedy: install them by this system's own means, then run the command again.",
  );
}

async function apt(packages: readonly string[]): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["update", "-q"], { env });
  await run("apt-get", ["install", "-q", "-y", "--no-install-recommends", ...packages], { env });
}

/** The emulator's program. */
export const installEmulator = async (): Promise<string> =>
  installFromPyPi("ministack", emulatorVersion, "the AWS emulator", "ministack");

/** The AWS command line, by which a kubeconfig of an EKS cluster logs in. */
export const installAwsCli = async (): Promise<string> =>
  installFromPyPi("awscli", awsCliVersion, "the AWS command line", "aws");

/** A program of a Python package, installed into a virtual environment of its own. */
async function installFromPyPi(name: string, version: string, what: string, program: string): Promise<string> {
  const folder = join(cache, `${name}-${version}`);
  await once(folder, `installing ${what} ${name} ${version}`, async () => {
    await run("python3", ["-m", "venv", "--clear", folder]).catch(async (error: unknown) => {
      if (!String(error).includes("ensurepip")) throw error;
      await apt(["python3-venv"]);
      await run("python3", ["-m", "venv", "--clear", folder]);
    });
    await run(join(folder, "bin", "pip"), ["install", "-q", `${name}==${version}`]);
  });
  return join(folder, "bin", program);
}

/** The one binary of etcd and all Kubernetes components, and the pause program: built from Go modules, then kept. */
export async function buildKubernetes(): Promise<{ kubernetes: string; pause: string }> {
  const hash = createHash("sha256");
  for (const file of ["go.mod", "go.sum", "main.go", "pause/main.go"]) hash.update(await readFile(join(source, file)));
  const folder = join(cache, `kubernetes-${kubernetesVersion}-${hash.digest("hex").slice(0, 12)}`);
  const built = { kubernetes: join(folder, "kubernetes"), pause: join(folder, "pause") };
  const name = `building Kubernetes ${kubernetesVersion} from Go modules (5 to 15 minutes, once)`;
  await once(folder, name, async () => {
    if (!(await findsProgram("go"))) {
      throw new LocalCloudError(
        "The local cloud builds Kubernetes and needs Go 1.25 or newer on PATH. Remedy: install Go.",
      );
    }
    const versions = { gitVersion: kubernetesVersion, gitMajor: "1", gitMinor: kubernetesVersion.split(".")[1] ?? "" };
    const flags = Object.entries(versions).map(([key, value]) => `-X k8s.io/component-base/version.${key}=${value}`);
    const env = { ...process.env, CGO_ENABLED: "0" };
    const options = ["build", "-trimpath", "-buildvcs=false", "-ldflags", ["-s -w", ...flags].join(" ")];
    await run("go", [...options, "-o", built.kubernetes, "."], { cwd: source, env });
    await run("go", [...options, "-o", built.pause, "./pause"], { cwd: source, env });
  });
  return built;
}

/**
 * Prometheus' tool that checks rules and metrics: the one on PATH, else Debian's. That package is unpacked and never
 * installed, as it would start a server; only the tool is kept.
 */
export async function installPromtool(): Promise<string> {
  if (await findsProgram("promtool")) return "promtool";
  checkDistribution(["prometheus"], await readRelease());
  const folder = join(cache, "promtool");
  const [promtool, unpacked] = [join(folder, "promtool"), join(folder, "unpacked")];
  const download = async (): Promise<string> => run("apt-get", ["download", "-q", "prometheus"], { cwd: unpacked });
  await once(folder, "fetching promtool from Debian's package prometheus", async () => {
    await rm(unpacked, { recursive: true, force: true });
    await mkdir(unpacked);
    // Lists of packages that are missing or old name no file that is there.
    await download().catch(async () => {
      await run("apt-get", ["update", "-q"]);
      await download();
    });
    const [file = ""] = await readdir(unpacked);
    await run("dpkg-deb", ["-x", file, "."], { cwd: unpacked });
    await rename(join(unpacked, "usr", "bin", "promtool"), promtool);
    await rm(unpacked, { recursive: true });
  });
  return promtool;
}

/** Makes a folder of the cache unless it is there whole: the marker is written last, so a crash half-way is made anew. */
async function once(folder: string, name: string, make: () => Promise<void>): Promise<void> {
  const marker = join(folder, ".complete");
  if (existsSync(marker)) return;
  await mkdir(folder, { recursive: true });
  await step(name, make).catch((cause: unknown) => {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new LocalCloudError(
      `${why}\nRemedy: mend what that says (network, disk space), then run the command again.`,
      { cause },
    );
  });
  await writeFile(marker, "");
}
