// Creates resources of the Pulumi program in the local cloud without Pulumi's engine, and deletes them again.
import { undefinedIfNotFound } from "../../helper/kube/errors.ts";
import type { Kube } from "../../helper/kube/types.ts";
import { awsSession } from "../local/pulumi/aws/session.ts";
import { awsTypes } from "../local/pulumi/aws/types.ts";
import type { LiveResource, ResourceType } from "../local/pulumi/resource-type.ts";
import { plainProperties, type Properties } from "../local/pulumi/values.ts";
import { collectionPath, objectPath, type Manifest } from "./object-path.ts";
import type { Program } from "./program.ts";

/** A resource that exists in the local cloud. */
export interface CreatedResource {
  /** Pulumi's type and name. */
  readonly type: string;
  readonly name: string;
  /** With `id`, the id in AWS, or as the API server returned it. */
  readonly outputs: Properties;
  /** Deletes it; an object in the cluster may be gone already. */
  readonly remove: () => Promise<unknown>;
}

type Created = Pick<CreatedResource, "outputs" | "remove">;

/** The types that a helper needs besides its image, its Deployment and what belongs to its pod. */
const createdTypes =
  /^(aws:iam\/.*|kubernetes:(core\/v1:(Namespace|ServiceAccount)|rbac\..*|admissionregistration\..*))$/;

/** Whether a resource is an admission policy or a binding of one. */
export const isPolicy = ({ type }: Pick<CreatedResource, "type">): boolean => type.includes(":admissionregistration.");

/** Creates the program's resources in its order, but for those in absent namespaces; admission policies come last. */
export async function createResources(
  { resources }: Program,
  absent: readonly string[],
  admin: Kube,
): Promise<CreatedResource[]> {
  const created: CreatedResource[] = [];
  const all = resources.filter((one) => createdTypes.test(one.type));
  // The policy for secrets is the last one: once it is in force, the other one is, too.
  const isLast = ({ name }: { readonly name: string }): number => Number(name.endsWith("-secrets"));
  const policies = all.filter(isPolicy).sort((a, b) => isLast(a) - isLast(b) || a.type.localeCompare(b.type));
  for (const { type, name, inputs } of [...all.filter((one) => !isPolicy(one)), ...policies]) {
    const target = (inputs["metadata"] as { namespace?: string } | undefined)?.namespace ?? "";
    if (absent.includes(target)) continue;
    const one = type.startsWith("aws:") ? await createInAws(type, inputs) : await createInCluster(admin, inputs);
    created.push({ type, name, ...one });
  }
  return created;
}

async function createInAws(type: string, inputs: Properties): Promise<Created> {
  const [session, types] = [
    awsSession(),
    awsTypes as Readonly<Record<string, ResourceType<ReturnType<typeof awsSession>>>>,
  ];
  const handler = types[type];
  if (handler === undefined) throw new Error(`the AWS plugin has no ${type}`);
  const { id, outputs }: LiveResource = await handler.create(inputs, session);
  return {
    outputs: { ...plainProperties(outputs), id },
    remove: async () => handler.delete(id, outputs, session),
  };
}

/** Creates an object as the field manager of Pulumi's provider. */
async function createInCluster(admin: Kube, body: Properties): Promise<Created> {
  const manifest = body as unknown as Manifest;
  const path = `${collectionPath(manifest)}?fieldManager=pulumi-kubernetes`;
  const outputs = await admin<Properties>({ method: "POST", path, body });
  return {
    outputs,
    remove: async () => undefinedIfNotFound(admin({ method: "DELETE", path: objectPath(manifest) })),
  };
}
