// Label selectors in the syntax of `kubectl get --selector`, as a list of requirements that all have to be met.
// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors

/** Labels of an object, by key. */
export type Labels = Readonly<Record<string, string>>;

/** A condition on one label. An absent label meets only `NotIn` and `DoesNotExist`. */
export interface Requirement {
  readonly key: string;
  readonly operator: "Exists" | "DoesNotExist" | "In" | "NotIn" | "Gt" | "Lt";
  /** Empty for `Exists` and `DoesNotExist`; one 64-bit integer for `Gt` and `Lt`. */
  readonly values: readonly string[];
}

// https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
const key =
  "((?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9](?:[-\\w.]{0,61}[A-Za-z0-9])?)";
const value = "((?:[A-Za-z0-9](?:[-\\w.]{0,61}[A-Za-z0-9])?)?)";
/** White space as Kubernetes has it, which is less than that of `\s` and `trim`. */
const space = "[ \\t\\r\\n]*";

/** Whether a label or operand is an integer that Kubernetes compares: 64 bits. (A sign is allowed in a label only.) */
const isInteger = (text: string): boolean =>
  /^-?\d{1,63}$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text);

const wholeValue = new RegExp(`^${value}$`);
const trimmed = (text: string): string => text.replace(/^[ \t\r\n]+/, "").replace(/(?<![ \t\r\n])[ \t\r\n]+$/, "");

/** Returns the values of an operand; undefined where it is wrong. */
type ParseValues = (operand: string) => readonly string[] | undefined;

const none: ParseValues = () => [];
const one: ParseValues = (operand) => [operand];
const integer: ParseValues = (operand) => (isInteger(operand) ? [operand] : undefined);
const list: ParseValues = (operand) => {
  const values = operand.split(",").map(trimmed);
  return values.every((each) => wholeValue.test(each)) ? values : undefined;
};

/** The forms of a requirement. The first group is the key; the second, if any, is the operand. */
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

/** Parses a selector. Throws an error that quotes the first wrong requirement. */
export const parseRequirements = (selector: string): Requirement[] =>
  splitRequirements(selector).map((text) => parseRequirement(trimmed(text)));

/** Splits at the commas outside parentheses. */
function splitRequirements(selector: string): string[] {
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

/** A key with a prefix of more than 253 characters. */
const longPrefix = /^[^/]{254,}\//;

type Operator = (found: string | undefined, values: readonly string[]) => boolean;

const isIn: Operator = (found, values) => found !== undefined && values.includes(found);
const comparing =
  (isMet: (found: bigint, limit: bigint) => boolean): Operator =>
  (found = "", [limit = ""]) =>
    isInteger(found) && isMet(BigInt(found), BigInt(limit));

const operators: Readonly<Record<Requirement["operator"], Operator>> = {
  Exists: (found) => found !== undefined,
  DoesNotExist: (found) => found === undefined,
  In: isIn,
  NotIn: (found, values) => !isIn(found, values),
  Gt: comparing((found, limit) => found > limit),
  Lt: comparing((found, limit) => found < limit),
};

/** Whether labels meet one requirement. */
export const matchesRequirement = (labels: Labels, { key: name, operator, values }: Requirement): boolean =>
  operators[operator](Object.hasOwn(labels, name) ? labels[name] : undefined, values);
