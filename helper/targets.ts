// Which namespaces are build namespaces: names, glob patterns and a label selector, less those that are excluded.

export type Labels = Readonly<Record<string, string>>;

export interface TargetRules {
  /** Names and glob patterns. */
  readonly buildNamespaces: readonly string[];
  /** Names and glob patterns; they win over everything else. */
  readonly excludeNamespaces: readonly string[];
  /** Namespaces that are meant besides, in the syntax of `kubectl get --selector`; "" for none. */
  readonly namespaceSelector: string;
  /** The helper's own. */
  readonly namespace: string;
}

/** Where the cluster itself runs. Like the helper's own namespace they are meant by their names only. */
const systemNamespaces = ["kube-system", "kube-public", "kube-node-lease"];

export const isPattern = (name: string): boolean => /[*?]/.test(name);

/** Whether the rules mean namespaces whose names are not known beforehand, so that those of the cluster are watched. */
export const isOpenEnded = ({ buildNamespaces, namespaceSelector }: TargetRules): boolean =>
  namespaceSelector !== "" || buildNamespaces.some(isPattern);

/** The build namespaces of rules that name each of them; none of open-ended rules. */
export function namedNamespaces(rules: TargetRules): string[] {
  if (isOpenEnded(rules)) return [];
  const matches = createMatcher(rules);
  return [...new Set(rules.buildNamespaces)].filter((name) => matches(name, {}));
}

/** Gives the test of a namespace by its name and labels. */
export function createMatcher(rules: TargetRules): (name: string, labels: Labels) => boolean {
  const isMeant = matchesAny(rules.buildNamespaces);
  const isExcluded = matchesAny(rules.excludeNamespaces);
  const isSelected = rules.namespaceSelector === "" ? () => false : parseSelector(rules.namespaceSelector);
  const reserved = new Set([...systemNamespaces, rules.namespace]);
  return (name, labels) => {
    if (isExcluded(name)) return false;
    if (reserved.has(name)) return rules.buildNamespaces.includes(name);
    return isMeant(name) || isSelected(labels);
  };
}

function matchesAny(patterns: readonly string[]): (name: string) => boolean {
  const names = new Set(patterns.filter((one) => !isPattern(one)));
  const globs = patterns.filter(isPattern);
  return (name) => names.has(name) || globs.some((glob) => matchesGlob(glob, name));
}

/**
 * Whether a glob means a name. Where it goes wrong it goes back to the last `*` only, which takes one character more: a
 * regular expression with as many `.*` would try all combinations.
 */
export function matchesGlob(glob: string, name: string): boolean {
  let [at, lastStar, resume] = [0, -1, 0];
  for (let index = 0; index < name.length;) {
    if (glob[at] === "*") {
      [lastStar, resume] = [at++, index];
    } else if (glob[at] === "?" || glob[at] === name[index]) {
      at++;
      index++;
    } else if (lastStar >= 0) {
      [at, index] = [lastStar + 1, ++resume];
    } else {
      return false;
    }
  }
  return /^\**$/.test(glob.slice(at));
}

// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
const key =
  "((?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9](?:[-\\w.]{0,61}[A-Za-z0-9])?)";
const value = "((?:[A-Za-z0-9](?:[-\\w.]{0,61}[A-Za-z0-9])?)?)";
/** What Kubernetes takes for white space: less than `\s` and `trim` do. */
const space = "[ \\t\\r\\n]*";

type Requirement = (labels: Labels) => boolean;

/** The forms of one requirement, and what each asks of the labels. Where a label is absent, only negations hold. */
const forms: [RegExp, (key: string, operand: string) => Requirement | undefined][] = [
  [new RegExp(`^${key}$`), (name) => (labels) => Object.hasOwn(labels, name)],
  [new RegExp(`^!${space}${key}$`), (name) => (labels) => !Object.hasOwn(labels, name)],
  [new RegExp(`^${key}${space}==?${space}${value}$`), (name, one) => (labels) => labels[name] === one],
  [new RegExp(`^${key}${space}!=${space}${value}$`), (name, one) => (labels) => labels[name] !== one],
  [
    new RegExp(`^${key}${space}>${space}(\\d{1,63})$`),
    (name, limit) => compared(name, limit, (found, than) => found > than),
  ],
  [
    new RegExp(`^${key}${space}<${space}(\\d{1,63})$`),
    (name, limit) => compared(name, limit, (found, than) => found < than),
  ],
  [new RegExp(`^${key}[ \\t\\r\\n]+in${space}\\(([^()]*)\\)$`), (name, list) => oneOf(name, list, true)],
  [new RegExp(`^${key}[ \\t\\r\\n]+notin${space}\\(([^()]*)\\)$`), (name, list) => oneOf(name, list, false)],
];

/** Kubernetes compares integers of 64 bits, and takes none with a sign in a selector. */
const isInteger = (text: string): boolean =>
  /^-?\d{1,63}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);

function compared(
  name: string,
  limit: string,
  test: (found: bigint, than: bigint) => boolean,
): Requirement | undefined {
  if (!isInteger(limit)) return undefined;
  return ({ [name]: found = "" }) => isInteger(found) && test(BigInt(found), BigInt(limit));
}

const wholeValue = new RegExp(`^${value}$`);
const trimmed = (text: string): string => text.replace(/^[ \t\r\n]+/, "").replace(/(?<![ \t\r\n])[ \t\r\n]+$/, "");

function oneOf(name: string, list: string, wanted: boolean): Requirement | undefined {
  const values = list.split(",").map(trimmed);
  if (!values.every((one) => wholeValue.test(one))) return undefined;
  return (labels) => (Object.hasOwn(labels, name) && values.includes(labels[name] ?? "")) === wanted;
}

/** Gives the test that a label selector means. Throws an error that says which of its requirements is wrong. */
export function parseSelector(selector: string): Requirement {
  const requirements = requirementsOf(selector).map((text) => parseRequirement(trimmed(text)));
  return (labels) => requirements.every((holds) => holds(labels));
}

/** Splits at the commas that are not between parentheses. */
function requirementsOf(selector: string): string[] {
  const texts: string[] = [];
  let isOpen = false;
  for (const part of selector.split(",")) {
    texts.push(isOpen ? `${texts.pop() ?? ""},${part}` : part);
    const [opened, closed] = [part.lastIndexOf("("), part.lastIndexOf(")")];
    isOpen = opened > closed || (isOpen && opened === closed);
  }
  return texts;
}

function parseRequirement(text: string): Requirement {
  for (const [form, make] of forms) {
    const [whole, name = "", operand = ""] = form.exec(text) ?? [];
    const requirement = whole === undefined || longPrefix.test(name) ? undefined : make(name, operand);
    if (requirement !== undefined) return requirement;
  }
  const known = "KEY, !KEY, KEY=VALUE, KEY!=VALUE, KEY in (A, B), KEY notin (A, B), KEY>NUMBER or KEY<NUMBER";
  throw new Error(`${JSON.stringify(text)} is none of ${known}`);
}

const longPrefix = /^[^/]{254,}\//;
