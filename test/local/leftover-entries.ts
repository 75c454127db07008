// What a helper leaves that did not run any more when its stack was destroyed: its entries in service accounts of others. The
// command that clears them. Pure.

interface NameReference {
  readonly name: string;
}

export interface ServiceAccount {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly object[];
  };
  readonly secrets?: readonly NameReference[];
  readonly imagePullSecrets?: readonly NameReference[];
}

const lists = ["secrets", "imagePullSecrets"] as const;

/** Where the helper of an instance, `ecr-helper-STACK`, noted what it added. */
const entriesAnnotation = (instance: string): string => `ecr-helper/${instance}`;

/** The entries that the note names; none where it is not the helper's. */
function recordedEntries(note: string): Partial<Record<(typeof lists)[number], readonly string[]>> {
  try {
    return (JSON.parse(note) ?? {}) as Partial<Record<(typeof lists)[number], readonly string[]>>;
  } catch {
    return {};
  }
}

/** Whether the helper of an instance left entries. What has an owner goes with it, in Kubernetes' own time. */
export const hasHelperEntries = ({ metadata }: ServiceAccount, instance: string): boolean =>
  (metadata.ownerReferences ?? []).length === 0 && metadata.annotations?.[entriesAnnotation(instance)] !== undefined;

/**
 * The command that takes the entries away, and the note of them. It tells each by its place and its name, so that it changes
 * nothing where somebody else has changed the list meanwhile.
 */
export function cleanupCommand(account: ServiceAccount, instance: string): string {
  const { name, namespace, annotations = {} } = account.metadata;
  const note = annotations[entriesAnnotation(instance)] ?? "{}";
  const own = recordedEntries(note);
  const remove = (path: string, key: string, value: string): object[] => [
    { op: "test", path: `${path}${key}`, value },
    { op: "remove", path },
  ];
  const entries = lists.flatMap((list) =>
    (account[list] ?? [])
      .map((entry, index) => ({ entry: entry.name, path: `/${list}/${String(index)}` }))
      .filter(({ entry }) => own[list]?.includes(entry))
      // From the end: what is removed moves what comes after it.
      .reverse()
      .flatMap(({ entry, path }) => remove(path, "/name", entry)),
  );
  const patch = [
    ...entries,
    ...remove(`/metadata/annotations/${entriesAnnotation(instance).replaceAll("/", "~1")}`, "", note),
  ];
  return `kubectl --namespace ${namespace} patch serviceaccount ${name} --type=json --patch='${JSON.stringify(patch)}'`;
}
