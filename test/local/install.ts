// Installs or builds the programs of the local cloud: Debian packages, the emulator and the Kubernetes binary.
import { createHash } from "node:crypto";
import { access, constants, mkdir, readFile, readdir, rename, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { ensureCached } from "./cache.ts";
import { buildGo } from "./go-build.ts";
import { LocalCloudError, run, succeeds } from "./process.ts";
import { step } from "./progress.ts";

const kubernetesVersion = "v1.35.4";

/** The programs that the cloud needs, each with its Debian package. */
export const cloudPrograms: Readonly<Record<string, string>> = {
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

/**
 * Installs the Debian packages of these programs that this machine lacks. Rejects with LocalCloudError where it is no Linux, or
 * packages cannot be installed.
 */
export async function installPackages(programs: Readonly<Record<string, string>>): Promise<void> {
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

/** Throws LocalCloudError on a machine that cannot run a kubelet and container engines. `uid` is the user's. */
export function checkMachine(platform: NodeJS.Platform, uid: number | undefined): void {
  if (platform === "linux" && uid === 0) return;
  throw new LocalCloudError(
    `The local cloud runs a real kubelet and container engines, so it needs Linux and root; this is ${platform}, ` +
      `user ${String(uid ?? "unknown")}. Remedy: run it as root on a Linux machine, or use a real cluster ` +
      `(README.md, "Install it in a cluster").`,
  );
}

/** Throws LocalCloudError on a distribution without Debian's packages. `release` is the content of /etc/os-release. */
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

/** Installs the AWS emulator and returns the path of its program. */
export const installEmulator = async (): Promise<string> =>
  installFromPyPi("ministack", "the AWS emulator", "ministack");

/** Installs the AWS command line, which kubeconfigs of EKS clusters call, and returns its path. */
export const installAwsCli = async (): Promise<string> => installFromPyPi("awscli", "the AWS command line", "aws");

/**
 * Installs a Python package into its own virtual environment and returns the path of its program. Only wheels are installed, which run
 * no code during the installation; their dependencies and hashes are in python/NAME.txt.
 */
async function installFromPyPi(name: string, what: string, program: string): Promise<string> {
  const path = join("bin", program);
  const requirements = join(import.meta.dirname, "python", `${name}.txt`);
  const [version, hash] = await identify(name, requirements);
  const folder = await ensureCached({
    folder: `${name}-${version}-${hash}`,
    title: `installing ${what} ${name} ${version}`,
    files: [path],
    build: async (made) => {
      const pip = join(made, "bin", "pip");
      await run("python3", ["-m", "venv", "--clear", made]).catch(async (error: unknown) => {
        if (!String(error).includes("ensurepip")) throw error;
        await apt(["python3-venv"]);
        await run("python3", ["-m", "venv", "--clear", made]);
      });
      const checked = ["--require-hashes", "--no-deps", "--only-binary=:all:", "-r", requirements];
      await run(pip, ["install", "-q", ...checked]);
      // A Python version that the requirements were not compiled for may need further packages.
      await run(pip, ["check"]);
    },
  });
  return join(folder, path);
}

/** The version of a package in its file of requirements, and a hash of that file. */
async function identify(name: string, requirements: string): Promise<[version: string, hash: string]> {
  const text = await readFile(requirements, "utf8");
  const [, version] = new RegExp(`^${name}==(\\S+)`, "m").exec(text) ?? [];
  if (version === undefined) throw new Error(`${requirements} has no ${name}`);
  return [version, createHash("sha256").update(text).digest("hex").slice(0, 12)];
}

/** Builds the binary with etcd and all Kubernetes components, and the pause program. Returns their paths. */
export async function buildKubernetes(): Promise<{ kubernetes: string; pause: string }> {
  const versions = { gitVersion: kubernetesVersion, gitMajor: "1", gitMinor: kubernetesVersion.split(".")[1] ?? "" };
  const built = await buildGo({
    name: "kubernetes",
    version: kubernetesVersion,
    title: `building Kubernetes ${kubernetesVersion} from Go modules (5 to 15 minutes, once)`,
    source: join(import.meta.dirname, "kubernetes"),
    programs: { kubernetes: ".", pause: "./pause" },
    variables: Object.fromEntries(
      Object.entries(versions).map(([key, value]) => [`k8s.io/component-base/version.${key}`, value]),
    ),
  });
  return built as { kubernetes: string; pause: string };
}

/**
 * The path of promtool, which checks alerting rules and metrics: the one on PATH, else the one of Debian's package prometheus. The
 * package is only unpacked, because an installation would start a server.
 */
export async function installPromtool(): Promise<string> {
  if (await findsProgram("promtool")) return "promtool";
  checkDistribution(["prometheus"], await readRelease());
  const folder = await ensureCached({
    folder: "promtool",
    title: "fetching promtool from Debian's package prometheus",
    files: ["promtool"],
    build: async (made) => {
      const unpacked = join(made, "unpacked");
      const download = async (): Promise<string> => run("apt-get", ["download", "-q", "prometheus"], { cwd: unpacked });
      await rm(unpacked, { recursive: true, force: true });
      await mkdir(unpacked);
      // Without current package lists apt-get finds no file, or one that was removed from the server.
      await download().catch(async () => {
        await run("apt-get", ["update", "-q"]);
        await download();
      });
      const [file = ""] = await readdir(unpacked);
      await run("dpkg-deb", ["-x", file, "."], { cwd: unpacked });
      await rename(join(unpacked, "usr", "bin", "promtool"), join(made, "promtool"));
      await rm(unpacked, { recursive: true });
    },
  });
  return join(folder, "promtool");
}
