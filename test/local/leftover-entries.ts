// Finds the entries that a helper left in other people's service accounts, because it was not running when its stack was destroyed,
// and the command that removes them. Pure.

interface NameReference {
  readonly name: string;
}

/** A service account, as far as the helper's entries are concerned. */
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

/** The annotation in which the helper of an instance, `ecr-helper-STACK`, records the entries that it added. */
const entriesAnnotation = (instance: string): string => `ecr-helper/${instance}`;

/** The entries in the annotation; none where its content is not the helper's. */
function recordedEntries(note: string): Partial<Record<(typeof lists)[number], readonly string[]>> {
  try {
    return (JSON.parse(note) ?? {}) as Partial<Record<(typeof lists)[number], readonly string[]>>;
  } catch {
    return {};
  }
}

/** Whether the helper of an instance left entries. Kubernetes deletes service accounts with an owner later, with their entries. */
export const hasHelperEntries = ({ metadata }: ServiceAccount, instance: string): boolean =>
  (metadata.ownerReferences ?? []).length === 0 && metadata.annotations?.[entriesAnnotation(instance)] !== undefined;

/**
 * The kubectl command that removes the entries and the annotation. It tests the name at each position first, so that it changes
 * nothing where the list has changed meanwhile.
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
      // From the end, because each removal shifts the entries behind it.
      .reverse()
      .flatMap(({ entry, path }) => remove(path, "/name", entry)),
  );
  const patch = [
    ...entries,
    ...remove(`/metadata/annotations/${entriesAnnotation(instance).replaceAll("/", "~1")}`, "", note),
  ];
  return `kubectl --namespace ${namespace} patch serviceaccount ${name} --type=json --patch='${JSON.stringify(patch)}'`;
}
