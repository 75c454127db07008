import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { parseDefinitions, type SecretDefinition } from "../../helper/shared/secret-definition.ts";
import { readConfig } from "../../infra/config/stack.ts";
import { mistakesOf } from "../support/config-error.ts";
import { configure, ownRegistry } from "../support/program.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

type Item = Record<string, unknown>;
type Values = Record<string, string>;

const data = { a: "${auth}" };

/** The mistakes in secrets, without what they all begin with. */
const mistakesIn = (secrets: unknown, more: Values = {}): string[] =>
  mistakesOf({ secrets: typeof secrets === "string" ? secrets : JSON.stringify(secrets), ...more }).map((line) =>
    line.replace(/^ecr-helper:/, ""),
  );

/** The definitions of secrets that are accepted. */
function definitionsOf(secrets: readonly Item[], more: Values = {}): readonly SecretDefinition[] {
  configure({ kubeconfig: "Pulumi.yaml", secrets: JSON.stringify(secrets), ...more });
  return readConfig(ownRegistry).secrets;
}

/** Asserts that one secret, named `one` unless it says so, has this mistake only. */
function assertMistake(item: Item, mistake: string, more: Values = {}): void {
  const [first = "", ...others] = mistakesIn([{ name: "one", ...item }], more);
  assert.ok(first.startsWith(`secrets[0]${mistake}`), `${mistake} in ${first}`);
  assert.deepEqual(others, [], first);
}

describe("the further secrets of a configuration", () => {
  it("are none by default, and complete definitions that the helper takes", () => {
    assert.deepEqual(definitionsOf([]), []);
    const registries = JSON.stringify(["444455556666.dkr.ecr.us-east-1.amazonaws.com"]);
    const full = {
      name: "two",
      type: "kubernetes.io/dockercfg",
      labels: { team: "a", "example.com/b": "" },
      annotations: { "example.com/at": "${host}" },
      namespaces: ["de*", "default", "de*"],
      registry: "444455556666.dkr.ecr.us-east-1.amazonaws.com",
      login: "push",
      data: { ".dockercfg": '{"${host}":{"auth":"${auth}"}}' },
    };
    const pushing = { registries, pushRepositories: '["app"]' };
    const definitions = definitionsOf([{ name: "one", data }, full], pushing);
    assert.deepEqual(definitions, [
      {
        name: "one",
        type: "Opaque",
        labels: {},
        annotations: {},
        namespaces: ["*"],
        registry: "",
        login: "pull",
        data,
      },
      { ...full, namespaces: ["de*", "default"] },
    ]);
    assert.deepEqual(parseDefinitions(JSON.stringify(definitions)), definitions);
  });

  it("have the fields of their form, with the labels and annotations that are given, and the repository in the URL", () => {
    const labels = { team: "a" };
    const [argocd, kpack] = definitionsOf([
      { name: "charts", form: "argocd-repository", repository: "charts/app", labels },
      { name: "kpack", form: "kpack", annotations: { "example.com/at": "${url}" } },
    ]);
    assert.deepEqual(argocd?.labels, { "argocd.argoproj.io/secret-type": "repository", ...labels });
    assert.deepEqual([argocd.data["url"], argocd.data["name"]], ["${host}/charts/app", "charts"]);
    assert.deepEqual(kpack?.annotations, { "kpack.io/docker": "${host}", "example.com/at": "${url}" });
    assert.equal(kpack.login, "push", "whatever pushes exist");
  });

  it("are refused where they are no list of objects, or have other fields or types", () => {
    for (const text of ["x", "{}", '"a"', "1"])
      assert.match(
        mistakesIn(text).join(),
        /^secrets = ".*": expected a list: secrets, each with name and form, or name and data$/,
      );
    assert.deepEqual(mistakesIn([1, { name: "one", data }, ["a"]]), [
      'secrets[0] = "1": expected an object: secrets, each with name and form, or name and data',
      'secrets[2] = "[\\"a\\"]": expected an object: secrets, each with name and form, or name and data',
    ]);
    assertMistake({ data, stringData: {} }, '.stringData = "{}": expected no such field, but name, form, repository, ');
    assertMistake({ data, "a b\n": 1 }, '["a b\\n"] = "1": expected no such field, but ');
    assertMistake({ data: { a: true } }, '.data.a = "true": expected a text, in quotes');
    assertMistake({ data: ["a"] }, '.data = "[\\"a\\"]": expected texts by key');
    assertMistake({ data, labels: "a" }, '.labels = "a": expected texts by key');
    assertMistake({ data, namespaces: "a" }, '.namespaces = "a": expected a list of texts');
    assertMistake({ data, registry: null }, '.registry = "null": expected a text, in quotes');
    assert.match(mistakesIn([{ data }]).join(), /^secrets\[0\]\.name = "": expected a name of a Kubernetes object/);
  });

  it("are refused by a name that is no object's, or another secret's", () => {
    assertMistake({ data, name: "A" }, '.name = "A": expected a name of a Kubernetes object');
    const another = "expected another name: basicAuthSecret, pullSecret or a group has this one";
    for (const name of ["ecr-creds", "ecr-creds-pull"]) assertMistake({ data, name }, `.name = "${name}": ${another}`);
    const registries = JSON.stringify(["444455556666.dkr.ecr.us-east-1.amazonaws.com"]);
    assertMistake({ data, name: "ecr-creds-us-east-1" }, `.name = "ecr-creds-us-east-1": ${another}`, { registries });
    for (const name of ["ecr-helper", "ecr-helper-image-1"])
      assertMistake(
        { data, name },
        `.name = "${name}": expected another name: the stack's own secrets are ecr-helper, `,
      );
    const twice = [
      { name: "a", data },
      { name: "b", data },
      { name: "a", form: "flux" },
    ];
    assert.deepEqual(mistakesIn(twice), ['secrets[2].name = "a": expected each name once']);
  });

  it("are refused with a form that is unknown, or with what a form sets itself", () => {
    const forms = "argocd-repository, argocd-repo-creds, argocd-image-updater, flux, jenkins, kpack, kaniko, buildkit";
    for (const form of ["argo", "constructor", ""]) assertMistake({ form }, `.form = "${form}": expected ${forms}`);
    assertMistake({}, `.data = "": expected templates of the fields by key, or a form: ${forms}`);
    for (const [field, value] of [
      ["type", "Opaque"],
      ["data", { a: "${oops}" }],
    ] as const)
      assertMistake({ form: "flux", [field]: value }, `.${field} = `);
    assertMistake({ form: "flux", repository: "app" }, '.repository = "app": expected none with this form');
    assertMistake({ data, repository: "app" }, '.repository = "app": expected none without a form of Argo CD');
    const form = "argocd-repo-creds";
    for (const repository of ["${password}", "oci://app", "a", "/app"])
      assertMistake(
        { form, repository },
        `.repository = ${JSON.stringify(repository)}: expected the name of a repository`,
      );
    const label = { "argocd.argoproj.io/secret-type": "cluster" };
    const set = '["argocd.argoproj.io/secret-type"] = "cluster": expected another key: the form sets this one';
    assertMistake({ form, labels: label }, `.labels${set}`);
  });

  it("are refused by a type that Kubernetes gives another meaning, or without what a type needs", () => {
    for (const type of [
      "kubernetes.io/service-account-token",
      "kubernetes.io/tls",
      "bootstrap.kubernetes.io/token",
      "node.k8s.io/x",
      "",
      "a b",
    ])
      assertMistake({ type, data }, `.type = "${type}": expected Opaque, kubernetes.io/basic-auth, `);
    for (const [type, more, needed] of [
      ["kubernetes.io/basic-auth", {}, "a field username or password, "],
      ["kubernetes.io/dockerconfigjson", {}, "a field .dockerconfigjson with the JSON of an object, "],
      [
        "kubernetes.io/dockerconfigjson",
        { ".dockerconfigjson": "${auth}" },
        "a field .dockerconfigjson with the JSON of ",
      ],
      ["kubernetes.io/dockerconfigjson", { ".dockerconfigjson": "[]" }, "a field .dockerconfigjson with the JSON of "],
      ["kubernetes.io/dockercfg", { ".dockerconfigjson": "{}" }, "a field .dockercfg with the JSON of "],
    ] as const)
      assertMistake({ type, data: more }, `.data = ${JSON.stringify(JSON.stringify(more))}: expected ${needed}`);
  });

  it("are refused by keys and values that Kubernetes does not take, or that are the helper's", () => {
    for (const key of ["a b", "", "..", "..x", ".", "a".repeat(254)])
      assert.match(
        mistakesIn([{ name: "one", data: { [key]: "" } }]).join(),
        /: expected a key of letters, digits, - _ and/,
      );
    for (const field of ["labels", "annotations"]) {
      assertMistake({ data, [field]: { "a b": "" } }, `.${field}["a b"] = "": expected a key as Kubernetes has it`);
      for (const key of ["ecr-helper/x", "app.kubernetes.io/instance"])
        assertMistake(
          { data, [field]: { [key]: "a" } },
          `.${field}["${key}"] = "a": expected another key: the helper `,
        );
    }
    assertMistake({ data, labels: { a: "${host}" } }, '.labels.a = "${host}": expected a value of a label');
    assertMistake(
      { data, annotations: { a: "${auth}" } },
      '.annotations.a = "${auth}": expected no placeholder but ${host}, ',
    );
    assertMistake(
      { data: { a: "${pass}" } },
      '.data.a = "${pass}": expected no placeholder but ${username}, ${password}, ',
    );
  });

  it("are refused with a registry that is none of the stack's, and a login that there is not", () => {
    const other = "444455556666.dkr.ecr.us-east-1.amazonaws.com";
    assertMistake(
      { data, registry: other },
      `.registry = "${other}": expected the host of the stack's own registry, 1234`,
    );
    const own = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
    assert.deepEqual(mistakesIn([{ name: "one", data, registry: own }]), []);
    assert.deepEqual(mistakesIn([{ name: "one", data, registry: "localhost" }], { registryHost: "localhost" }), []);
    assertMistake({ data, login: "both" }, '.login = "both": expected pull or push');
    assertMistake({ data, login: "push" }, '.login = "push": expected pull, or pushRepositories: without these ');
  });

  it("are refused in namespaces that are no build namespaces", () => {
    const builds = { buildNamespaces: '["team-a","team-b","kube-system"]' };
    for (const namespace of ["team-c", "dev-*", "kube-public"])
      assertMistake(
        { data, namespaces: ["team-a", namespace] },
        `.namespaces[1] = "${namespace}": expected one that `,
        builds,
      );
    assert.deepEqual(mistakesIn([{ name: "one", data, namespaces: ["team-?", "kube-system"] }], builds), []);
    assertMistake({ data, namespaces: [] }, '.namespaces = "[]": expected at least one name or pattern');
    assertMistake({ data, namespaces: ["A"] }, '.namespaces[0] = "A": expected a name of a namespace or a pattern');
    const dynamic = { buildNamespaces: '["team-*"]', excludeNamespaces: '["*-x"]' };
    assert.deepEqual(mistakesIn([{ name: "one", data, namespaces: ["team-a", "dev-*"] }], dynamic), []);
    for (const namespace of ["dev", "team-x", "kube-system", "ecr-helper"])
      assertMistake({ data, namespaces: [namespace] }, `.namespaces[0] = "${namespace}": expected one that `, dynamic);
    const selected = { ...dynamic, namespaceSelector: "builds" };
    assert.deepEqual(mistakesIn([{ name: "one", data, namespaces: ["dev"] }], selected), []);
    for (const namespace of ["team-x", "kube-system"])
      assertMistake({ data, namespaces: [namespace] }, `.namespaces[0] = "${namespace}": expected one that `, selected);
  });

  it("are refused where they are too many, or too large", () => {
    const many = Array.from({ length: 11 }, (_, index) => ({ name: `s-${String(index)}`, data }));
    assert.deepEqual(mistakesIn(many.slice(1)), []);
    assert.deepEqual(mistakesIn(many), [
      "secrets = [11 entries]: expected at most 10 secrets: another stack can keep more",
    ]);
    const [line = ""] = mistakesIn([{ name: "one", data: { a: "x".repeat(33_000) } }]);
    assert.match(line, /^secrets = \[1 entry\]: expected at most 32768 characters in all, where these have 33\d{3}$/);
  });

  it("are reported together with all other mistakes", () => {
    const wrong = [
      { name: "A", data: { a: "${b}" } },
      { name: "one", form: "x", login: "y" },
    ];
    const lines = mistakesIn(wrong, { logLevel: "all" }).map((line) => line.replace(/ = .*/, ""));
    assert.deepEqual(lines.sort(), [
      "logLevel",
      "secrets[0].data.a",
      "secrets[0].name",
      "secrets[1].form",
      "secrets[1].login",
    ]);
  });
});
