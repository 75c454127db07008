// What the local cloud is made of, found or made: Debian's packages, the emulator, the Kubernetes binary.
import { createHash } from "node:crypto";
import { access, constants, mkdir, readFile, readdir, rename, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { ensureCached } from "./cache.ts";
import { buildGo } from "./go-build.ts";
import { LocalCloudError, run, succeeds } from "./process.ts";
import { step } from "./progress.ts";

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
  installFromPyPi("ministack", "the AWS emulator", "ministack");

/** The AWS command line, by which a kubeconfig of an EKS cluster logs in. */
export const installAwsCli = async (): Promise<string> => installFromPyPi("awscli", "the AWS command line", "aws");

/**
 * A program of a Python package, installed into a virtual environment of its own: built packages alone, which run nothing
 * when they are installed, and with all that they need by the hashes in python/NAME.txt.
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
      // A Python that these requirements were not made for may need more.
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

/** The one binary of etcd and all Kubernetes components, and the pause program. */
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
 * Prometheus' tool that checks rules and metrics: the one on PATH, else Debian's. That package is unpacked and never
 * installed, as it would start a server; only the tool is kept.
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
      // Lists of packages that are missing or old name no file that is there.
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
