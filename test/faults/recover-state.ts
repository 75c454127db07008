// Recovers a stack's state after a pulumi command was killed, by the commands that README.md documents.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DeleteAccessKeyCommand } from "@aws-sdk/client-iam";
import type { ProxiedStack } from "./proxied-stack.ts";
import type { PendingOperation } from "./pulumi-commands.ts";
import { waitForObject } from "../local/watch.ts";
import { objectPath, type Manifest } from "../support/object-path.ts";
import { policyArn, iam, accessKeyIdInUse, accessKeyIds, deleteObject, options } from "./stack-resources.ts";

/** The id for `pulumi import`; undefined for resources that the next up can create again without a conflict. */
function importId({ type, inputs }: PendingOperation["resource"]): string | undefined {
  if (type.endsWith("Patch")) return undefined;
  if (type.startsWith("kubernetes:")) {
    const { name, namespace } = inputs["metadata"] as Manifest["metadata"];
    return namespace === undefined ? name : `${namespace}/${name}`;
  }
  if (/:(User|Repository)$/.test(type)) return String(inputs["name"]);
  return type.endsWith("iam/policy:Policy") ? policyArn(String(inputs["name"])) : undefined;
}

const lastOf = (urn: string): string => urn.split("::").at(-1) ?? "";

/**
 * The content of the file for `pulumi import --file`. Each resource has its parent, so that it gets the URN that it has in the
 * program, and its provider where the program names one.
 */
function importsOf(pending: readonly PendingOperation[]): { nameTable: Record<string, string>; resources: object[] } {
  const nameTable: Record<string, string> = {};
  const keyOf = (urn: string): string => {
    const key = urn.replaceAll(/\W+/g, "-");
    nameTable[key] = urn;
    return key;
  };
  const resources = pending.flatMap(({ resource }) => {
    const { type, urn, parent = "", provider = "" } = resource;
    const id = importId(resource);
    if (id === undefined) return [];
    const named = type.startsWith("kubernetes:") ? { provider: keyOf(provider.replace(/::[^:]+$/, "")) } : {};
    return [{ type, name: lastOf(urn), id, parent: keyOf(parent), ...named }];
  });
  return { nameTable, resources };
}

/**
 * Repairs the state after an `up` was killed: removes its lock, deletes what it was replacing, imports what it created without
 * recording it, and clears the other pending operations. Resolves with the operations that were pending.
 */
export async function recoverState(stack: ProxiedStack): Promise<readonly PendingOperation[]> {
  await stack.pulumi("cancel", "--yes");
  const pending = await stack.pendingOperations();
  // Pulumi imports nothing that the state has already, and makes it again as soon as it is gone.
  for (const { resource } of pending.filter(({ isReplacement }) => isReplacement))
    await deleteObject(objectPath(resource.inputs as unknown as Manifest));
  const imports = importsOf(pending.filter(({ isReplacement }) => !isReplacement));
  if (pending.some(({ resource }) => resource.type.endsWith(":Deployment"))) await deploymentReady(stack.name);
  if (imports.resources.length > 0) {
    const file = join(stack.stack.folder, "imports.json");
    writeFileSync(file, JSON.stringify(imports));
    const quiet = ["--yes", "--skip-preview", "--protect=false", "--generate-code=false"];
    await stack.pulumi("import", ...quiet, "--file", file);
  }
  if (pending.some(({ resource }) => resource.type.endsWith(":AccessKey"))) await deleteUnusedKeys(stack.name);
  await stack.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates");
  return pending;
}

/** Resolves when the helper is ready. The next `up` replaces what was imported, and a helper that ends while it starts may take long. */
async function deploymentReady(namespace: string): Promise<void> {
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments?fieldSelector=metadata.name%3Decr-helper`;
  const isReady = ({ status }: { status?: { readyReplicas?: number } }): boolean => (status?.readyReplicas ?? 0) > 0;
  await waitForObject(options, path, isReady, 60_000);
}

/** Deletes the user's access keys that the helper does not use: their secrets are lost. */
export async function deleteUnusedKeys(name: string): Promise<void> {
  const used = await accessKeyIdInUse(name);
  for (const AccessKeyId of (await accessKeyIds(name)).filter((one) => one !== used))
    await iam.send(new DeleteAccessKeyCommand({ UserName: name, AccessKeyId }));
}
