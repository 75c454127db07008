// What a user does after a command of Pulumi's was killed, by documented commands.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DeleteAccessKeyCommand } from "@aws-sdk/client-iam";
import type { ProxiedStack, PendingOperation } from "./proxied-stack.ts";
import { policyArn, iam, accessKeyIdInUse, accessKeyIds } from "./stack-resources.ts";

/** By what `pulumi import` finds what would be there twice; undefined of what the next up makes again. */
function importId({ type, inputs }: PendingOperation["resource"]): string | undefined {
  if (type.endsWith("Patch")) return undefined;
  if (type.startsWith("kubernetes:")) {
    const { name, namespace } = inputs["metadata"] as { name: string; namespace?: string };
    return namespace === undefined ? name : `${namespace}/${name}`;
  }
  if (/:(User|Repository)$/.test(type)) return String(inputs["name"]);
  return type.endsWith("iam/policy:Policy") ? policyArn(String(inputs["name"])) : undefined;
}

const lastOf = (urn: string): string => urn.split("::").at(-1) ?? "";

/**
 * The file that `pulumi import --file` reads: each with its place in the program, so that it is the same resource, and by its
 * provider where the program names one.
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
    const by = type.startsWith("kubernetes:") ? { provider: keyOf(provider.replace(/::[^:]+$/, "")) } : {};
    return [{ type, name: lastOf(urn), id, parent: keyOf(parent), ...by }];
  });
  return { nameTable, resources };
}

/**
 * Mends the state after an `up` that was killed: takes away its lock, imports what it made and nobody wrote down, and clears the
 * rest of what it had begun.
 */
export async function recoverState(stack: ProxiedStack): Promise<readonly PendingOperation[]> {
  await stack.pulumi("cancel", "--yes");
  const pending = await stack.pendingOperations();
  const imports = importsOf(pending);
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

/** Deletes the keys that the helper does not have: nobody knows what is secret of them. */
export async function deleteUnusedKeys(name: string): Promise<void> {
  const used = await accessKeyIdInUse(name);
  for (const AccessKeyId of (await accessKeyIds(name)).filter((one) => one !== used))
    await iam.send(new DeleteAccessKeyCommand({ UserName: name, AccessKeyId }));
}
