import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  expandTemplate,
  placeholders,
  publicPlaceholders,
  templateMistake,
  usesAny,
  type Placeholder,
} from "../../helper/shared/secret-template.ts";

type Values = Record<Placeholder, string>;

const valuesOf = (of: (name: string) => string): Values =>
  Object.fromEntries(placeholders.map((name) => [name, of(name)])) as Values;
const marked = valuesOf((name) => `<${name}>`);

/** Any text without `${`. */
const plain = fc.string().map((text) => text.replaceAll("${", "$ {"));
const name = fc.constantFrom(...placeholders);

describe("a template", () => {
  it("is plain text with placeholders, where $${ is the text ${ and any other character is itself", () => {
    for (const [template, expanded] of [
      ["", ""],
      ["a $ b $$ {x} }{ $", "a $ b $$ {x} }{ $"],
      ["${username}:${password}", "<username>:<password>"],
      ["https://${host}/${account}", "https://<host>/<account>"],
      ["$${host}", "${host}"],
      ["$$${host}", "$${host}"],
      ["$${${host}}", "${<host>}"],
      ['{"auths":{"${host}":{"auth":"${auth}"}}}', '{"auths":{"<host>":{"auth":"<auth>"}}}'],
    ] as const) {
      assert.equal(templateMistake(template), undefined, template);
      assert.equal(expandTemplate(template, marked), expanded);
    }
  });

  it("with an unknown placeholder is refused by its name, with the known ones", () => {
    const known = "${username}, ${password}, ${auth}, ${dockerconfig}, ${host}, ${url}, ${region}, ${account}";
    for (const [template, found] of [
      ["a ${pasword} ${host}", "${pasword}"],
      ["${host} ${}", "${}"],
      ["${ host}", "${ host}"],
      ["${Host}", "${Host}"],
      ["${constructor}", "${constructor}"],
      ["${host} ${user", "${user"],
      ["${${host}}", "${${host}"],
      ["$${a} ${b\n}", "${b\\n}"],
    ] as const)
      assert.equal(
        templateMistake(template),
        `no placeholder but ${known}, where this has "${found}"; $\${ is the text \${`,
      );
    assert.match(
      templateMistake("${password}", publicPlaceholders) ?? "",
      /^no placeholder but \$\{host\}, \$\{url\}, /,
    );
    assert.ok((templateMistake(`\${${"a".repeat(1_000_000)}`) ?? "").length < 400);
  });

  it("puts each value in once, whatever is in it", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(plain, name)), fc.string(), (pieces, value) => {
        const values = valuesOf((one) => `${one} $& $1 \${password} $\${ ${value}`);
        // A text that ends in $ would make an escape of the placeholder after it.
        const parts = pieces.map(([text, one]) => [text.replace(/\$+$/, ""), one] as const);
        const template = parts.map(([text, one]) => `${text}\${${one}}`).join("");
        const expected = parts.map(([text, one]) => text + values[one]).join("");
        assert.equal(templateMistake(template), undefined);
        assert.equal(expandTemplate(template, values), expected);
      }),
    );
  });

  it("can have any text: each ${ is written as $${", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const template = text.replaceAll("${", () => "$${");
        assert.equal(templateMistake(template), undefined);
        assert.equal(expandTemplate(template, marked), text);
      }),
    );
  });

  it("uses the placeholders that it has, and not those that are escaped", () => {
    assert.ok(usesAny("a ${auth}", ["password", "auth"]));
    assert.ok(!usesAny("$${auth} auth", ["auth"]));
  });
});
