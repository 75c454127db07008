// Label selectors in the syntax of `kubectl get --selector`, parsed into the requirements that all have to hold.
// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors

export type Labels = Readonly<Record<string, string>>;

/** Where a label is absent, only `NotIn` and `DoesNotExist` hold. */
export interface Requirement {
  readonly key: string;
  readonly operator: "Exists" | "DoesNotExist" | "In" | "NotIn" | "Gt" | "Lt";
  /** None of `Exists` and `DoesNotExist`; one integer of 64 bits of `Gt` and `Lt`. */
  readonly values: readonly string[];
}

// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
const key =
  "((?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9](?:[-\\w.]{0,61}[A-Za-z0-9])?)";
const value = "((?:[A-Za-z0-9](?:[-\\w.]{0,61}[A-Za-z0-9])?)?)";
/** What Kubernetes takes for white space: less than `\s` and `trim` do. */
const space = "[ \\t\\r\\n]*";

/** Kubernetes compares integers of 64 bits, and takes none with a sign in a selector. */
const isInteger = (text: string): boolean =>
  /^-?\d{1,63}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);

const wholeValue = new RegExp(`^${value}$`);
const trimmed = (text: string): string => text.replace(/^[ \t\r\n]+/, "").replace(/(?<![ \t\r\n])[ \t\r\n]+$/, "");

type ParseValues = (operand: string) => readonly string[] | undefined;

const none: ParseValues = () => [];
const one: ParseValues = (operand) => [operand];
const integer: ParseValues = (operand) => (isInteger(operand) ? [operand] : undefined);
const list: ParseValues = (operand) => {
  const values = operand.split(",").map(trimmed);
  return values.every((each) => wholeValue.test(each)) ? values : undefined;
};

/** The forms of one requirement, and the values that the operand of each stands for; undefined where it is wrong. */
const forms: readonly [RegExp, Requirement["operator"], ParseValues][] = [
  [new RegExp(`^${key}$`), "Exists", none],
  [new RegExp(`^!${space}${key}$`), "DoesNotExist", none],
  [new RegExp(`^${key}${space}==?${space}${value}$`), "In", one],
  [new RegExp(`^${key}${space}!=${space}${value}$`), "NotIn", one],
  [new RegExp(`^${key}${space}>${space}(\\d{1,63})$`), "Gt", integer],
  [new RegExp(`^${key}${space}<${space}(\\d{1,63})$`), "Lt", integer],
  [new RegExp(`^${key}[ \\t\\r\\n]+in${space}\\(([^()]*)\\)$`), "In", list],
  [new RegExp(`^${key}[ \\t\\r\\n]+notin${space}\\(([^()]*)\\)$`), "NotIn", list],
];

/** The requirements of a selector. Throws an error that says which of them is wrong. */
export const parseRequirements = (selector: string): Requirement[] =>
  requirementsOf(selector).map((text) => parseRequirement(trimmed(text)));

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
  for (const [form, operator, parseValues] of forms) {
    const [whole, name = "", operand = ""] = form.exec(text) ?? [];
    const values = whole === undefined || longPrefix.test(name) ? undefined : parseValues(operand);
    if (values !== undefined) return { key: name, operator, values };
  }
  const known = "KEY, !KEY, KEY=VALUE, KEY!=VALUE, KEY in (A, B), KEY notin (A, B), KEY>NUMBER or KEY<NUMBER";
  throw new Error(`${JSON.stringify(text)} is none of ${known}`);
}

const longPrefix = /^[^/]{254,}\//;

type Test = (found: string | undefined, values: readonly string[]) => boolean;

const isIn: Test = (found, values) => found !== undefined && values.includes(found);
const compared =
  (holds: (found: bigint, limit: bigint) => boolean): Test =>
  (found = "", [limit = ""]) =>
    isInteger(found) && holds(BigInt(found), BigInt(limit));

const tests: Readonly<Record<Requirement["operator"], Test>> = {
  Exists: (found) => found !== undefined,
  DoesNotExist: (found) => found === undefined,
  In: isIn,
  NotIn: (found, values) => !isIn(found, values),
  Gt: compared((found, limit) => found > limit),
  Lt: compared((found, limit) => found < limit),
};

/** Whether labels meet a requirement. */
export const matchesRequirements = (labels: Labels, { key: name, operator, values }: Requirement): boolean =>
  tests[operator](Object.hasOwn(labels, name) ? labels[name] : undefined, values);
