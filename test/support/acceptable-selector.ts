// What Kubernetes accepts as a label selector, after the lexer and the parser of k8s.io/apimachinery/pkg/labels.
import { isLabelKey, isLabelWord } from "./acceptable.ts";
import { consistsOf, type Rule } from "./text-rules.ts";

/** A label selector, which may be empty. */
export const isSelector: Rule = (value) => {
  const tokens = value.match(/==|!=|[=!(),<>]|[^ \t\r\n=!(),<>]+/g) ?? [];
  return separated(tokens).every(isRequirement);
};

function separated(tokens: readonly string[]): string[][] {
  const parts: string[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    if (token === "(") depth++;
    if (token === ")") depth--;
    if (token === "," && depth === 0) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts;
}

const isLabelValue = (value = ""): boolean => value === "" || isLabelWord(value);
const isOneValue = (operand: readonly string[]): boolean => operand.length <= 1 && isLabelValue(operand[0]);

const isNumberOf64Bits = ([text = "", ...more]: readonly string[]): boolean =>
  more.length === 0 && consistsOf("0123456789", 1, 63)(text) && BigInt(text) < 2n ** 63n;

/** A list in parentheses: two words in a row lack a comma between them. */
function isList(operand: readonly string[]): boolean {
  const inside = operand.slice(1, -1);
  const isPlaced = (one: string, index: number): boolean =>
    one === "," || (isLabelValue(one) && [undefined, ","].includes(inside[index - 1]));
  return operand.length > 1 && operand[0] === "(" && operand.at(-1) === ")" && inside.every(isPlaced);
}

const operands: Readonly<Record<string, (operand: readonly string[]) => boolean>> = {
  "=": isOneValue,
  "==": isOneValue,
  "!=": isOneValue,
  "<": isNumberOf64Bits,
  ">": isNumberOf64Bits,
  in: isList,
  notin: isList,
};

function isRequirement([key = "", operator, ...operand]: string[]): boolean {
  if (key === "!") return isLabelKey(operator ?? "") && operand.length === 0;
  if (!isLabelKey(key) || operator === undefined) return isLabelKey(key);
  return Object.hasOwn(operands, operator) && operands[operator]?.(operand) === true;
}
