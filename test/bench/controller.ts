// `npm run bench`: measures what the helper costs and how fast it is, with a disposable API server and etcd and the local
// cloud's AWS. Prints tables, and the same figures as JSON. Asserts nothing.
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { inParallel } from "../../helper/runtime/parallel.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { loopback, ports } from "../local/settings.ts";
import { startDisposableCluster } from "../support/disposable-cluster.ts";
import { globalSetup, globalTeardown } from "../setup.ts";
import { imageFigures } from "./image.ts";
import { programTime } from "./program.ts";
import { latencies } from "./latencies.ts";
import { passes } from "./passes.ts";
import { RawWriter } from "./raw-writer.ts";

const { values } = parseArgs({
  options: {
    namespaces: { type: "string", default: "10,100,1000,10000" },
    samples: { type: "string", default: "200" },
    // Three service accounts in each namespace: builder-sa, default, and one that a pattern includes.
    accounts: { type: "boolean", default: false },
    // Two further secrets in each namespace.
    secrets: { type: "boolean", default: false },
  },
});
const sizes = values.namespaces.split(",").map(Number);
const samples = Number(values.samples);

const namesOf = (id: string, namespaces: number): string[] =>
  Array.from({ length: namespaces }, (_, index) => `${id}-${String(index)}`);

const furtherSecrets = values.secrets
  ? [
      { name: "argocd", form: "argocd-repo-creds" },
      { name: "kaniko", form: "kaniko" },
    ]
  : [];
const config: Record<string, string> = {
  ...(values.accounts ? { serviceAccounts: '["builder-sa","default","ci-*"]' } : {}),
  secrets: JSON.stringify(furtherSecrets),
};
/** How many secrets a namespace has. */
const secretCount = 2 + furtherSecrets.length;

/** Creates a namespace. The disposable cluster has no controller that would create its service account `default`. */
async function createNamespace(parts: Parts, name: string): Promise<void> {
  await parts.namespace(name);
  for (const account of values.accounts ? ["default", "ci-1"] : []) {
    const path = `/api/v1/namespaces/${name}/serviceaccounts`;
    await parts.admin({ method: "POST", path, body: { metadata: { name: account } } });
  }
}

async function main(): Promise<void> {
  await globalSetup();
  const cluster = await startDisposableCluster();
  const { kubeconfig, command } = cluster;
  const any = { address: loopback, port: 0 };
  const gateway = async (tokenLife: number): Promise<Gateway> =>
    startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife });
  const all: Awaited<ReturnType<typeof passes>>[] = [];
  try {
    for (const namespaces of sizes) {
      const id = `bench-${randomBytes(3).toString("hex")}`;
      const parts = await makeParts([`${id}-*`], { kubeconfig, command, config });
      await inParallel(namesOf(id, namespaces), 32, async (name) => createNamespace(parts, name));
      const writer = await RawWriter.create(`raw-${id}`, cluster, namespaces);
      try {
        all.push(await passes({ id, parts, gateway }, cluster, writer, { namespaces, secretCount }));
        console.error(all.at(-1));
      } finally {
        await parts.removeFromAws();
        await writer.removeFromAws();
      }
    }
    const id = `bench-${randomBytes(3).toString("hex")}`;
    const parts = await makeParts([`${id}-*`], { kubeconfig, command, config });
    const helper = parts.run();
    await helper.line(/the secret will expire/);
    const found = await latencies({ id, parts, gateway }, samples);
    await parts.removeFromAws();
    const [program, image] = [await programTime(), await imageFigures()];
    for (const table of [...all.flatMap(({ figures, ways }) => [figures, ways]), found, program, image]) {
      console.table(table);
    }
    console.log(JSON.stringify({ passes: all, latencies: found, program, image }));
  } finally {
    await cluster.remove();
    await globalTeardown();
  }
}

await main();
