// Groups of build namespaces: which configurations are accepted, and what is said of the others.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { readConfig } from "../../infra/config/stack.ts";
import { mistakesOf } from "../support/config-error.ts";
import { account, configure, ownRegistry } from "../support/program.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

const ownHost = `${account}.dkr.ecr.eu-central-1.amazonaws.com`;
const dualStack = `${account}.dkr-ecr.eu-central-1.on.aws`;
const elsewhere = `${account}.dkr.ecr.us-east-1.amazonaws.com`;
const host = "444455556666.dkr.ecr.us-east-1.amazonaws.com";
const roleArn = "arn:aws:iam::444455556666:role/pulls/team-a";
const ofOwnAccount = `arn:aws:iam::${account}:role/pulls`;
const namespaces = ["default"];
const group = { name: "team-a", namespaces, pushRepositories: ["team-a/*"] };
const other = { name: "team-b", namespaces: ["team-b"], registries: [{ host, roleArn }] };

type Config = Readonly<Record<string, string | readonly string[]>>;
const patterns: Config = { buildNamespaces: ["default", "team-*"] };
const mistakesIn = (groups: unknown, config: Config = patterns): string[] =>
  mistakesOf({ ...config, groups: JSON.stringify(groups) });
const mistake = (path: string, value: unknown, expected: string): string => {
  const shown = JSON.stringify(typeof value === "string" ? value : JSON.stringify(value));
  return `ecr-helper:groups${path} = ${shown}: expected ${expected}`;
};
const lists = "pullRepositories, pushRepositories, pullThroughCache";

describe("a group of build namespaces", () => {
  it("has a name, namespaces and a login, by lists of its own or by roles that somebody else made", () => {
    for (const one of [
      group,
      { ...group, pullRepositories: ["base/*"], pullThroughCache: ["docker-hub/*"], registries: [] },
      { ...group, registries: [elsewhere, dualStack, "public.ecr.aws", { host, roleArn }] },
      { ...group, pushRepositories: [`arn:aws:ecr:us-east-1:${account}:repository/app`], registries: [elsewhere] },
      { ...group, name: "a", namespaces: ["team-?", "x*"] },
      { ...group, name: "a".repeat(20) },
      { name: "x", namespaces, registries: [{ host: ownHost, roleArn: ofOwnAccount }] },
      {
        name: "x",
        namespaces,
        registries: [{ host: "public.ecr.aws", roleArn, externalId: "12", sessionTags: ["a=b"] }],
      },
    ])
      assert.deepEqual(mistakesIn([one]), [], JSON.stringify(one));
    assert.deepEqual(mistakesIn([group, other]), []);
    assert.deepEqual(mistakesIn([]), []);
  });

  it("is read with the names of its role and of its policy, where its lists have anything", () => {
    configure({ kubeconfig: "Pulumi.yaml", ...{ groups: JSON.stringify([group, other]), buildNamespaces: '["*"]' } });
    const { groups } = readConfig(ownRegistry);
    const none = { pullRepositories: [], pushRepositories: [], pullThroughCache: [] };
    const role = { roleName: "ecr-helper-team-a", policyName: "ecr-helper-policy-team-a" };
    assert.deepEqual(groups, [
      { ...none, ...group, registries: [], registryRoles: [], role },
      {
        ...none,
        ...other,
        registries: [],
        registryRoles: [{ roleArn, sessionTags: {}, hosts: [host] }],
        role: undefined,
      },
    ]);
  });

  it("is reported without a name, with one that roles cannot have, and with another group's", () => {
    const form = "1 to 20 lower case letters, digits and -, with a letter or digit at both ends";
    assert.deepEqual(mistakesIn([{ ...group, name: undefined }]), [mistake("[0].name", "", form)]);
    for (const name of ["", "Team", "-a", "a-", "a.b", "a".repeat(21), "a\n"])
      assert.deepEqual(mistakesIn([{ ...group, name }]), [mistake("[0].name", name, form)]);
    assert.deepEqual(mistakesIn([{ ...group, name: 1 }]), [mistake("[0].name", 1, "a text, in quotes")]);
    assert.deepEqual(mistakesIn([{ ...group, name: "push" }]), [
      mistake("[0].name", "push", "another name: the role for pushRepositories has this suffix"),
    ]);
    assert.deepEqual(mistakesIn([group, { ...other, name: "team-a" }]), [
      mistake("[1].name", "team-a", "each name once"),
    ]);
  });

  it("is reported with no namespaces, wrong ones, and the helper's own", () => {
    const one = "at least one name or pattern";
    assert.deepEqual(mistakesIn([{ ...group, namespaces: undefined }]), [mistake("[0].namespaces", "", one)]);
    assert.deepEqual(mistakesIn([{ ...group, namespaces: [] }]), [mistake("[0].namespaces", [], one)]);
    const text = "a name of a namespace or a pattern of names";
    assert.deepEqual(mistakesIn([{ ...group, namespaces: ["team-a", "A"] }]), [
      mistake("[0].namespaces[1]", "A", text),
    ]);
    assert.deepEqual(mistakesIn([{ ...group, namespaces: "a" }]), [mistake("[0].namespaces", "a", "a list of texts")]);
    const own = "another namespace: the helper's own is in no group, as the helper's image is pulled there";
    for (const config of [patterns, { buildNamespaces: ["default", "ecr-helper"] }])
      assert.deepEqual(mistakesIn([{ ...group, namespaces: ["default", "ecr-helper"] }], config), [
        mistake("[0].namespaces[1]", "ecr-helper", own),
      ]);
    assert.deepEqual(mistakesIn([{ ...group, namespaces: ["*"] }]), [], "a pattern never includes it");
  });

  it("is reported where the build namespaces are known and it has none of them", () => {
    const config = { buildNamespaces: ["default", "team-b"] };
    const expected = "one at least of buildNamespaces that no group before it has";
    assert.deepEqual(mistakesIn([group, other], config), []);
    const matching = "one that matches a build namespace: see buildNamespaces";
    for (const wrong of ["x", "t-*"])
      assert.deepEqual(mistakesIn([{ ...group, namespaces: ["default", wrong] }, other], config), [
        mistake("[0].namespaces[1]", wrong, matching),
      ]);
    assert.deepEqual(
      mistakesIn(
        [
          { ...group, namespaces: ["team-?"] },
          { ...other, namespaces: ["*-b"] },
        ],
        config,
      ),
      [mistake("[1].namespaces", ["*-b"], expected)],
    );
    assert.deepEqual(mistakesIn([{ ...group, namespaces: ["ecr-*"] }], { buildNamespaces: ["ecr-helper", "x"] }), [
      mistake("[0].namespaces", ["ecr-*"], expected),
    ]);
    assert.deepEqual(mistakesIn([{ ...group, namespaces: ["x"] }], { ...config, namespaceSelector: "builds" }), []);
  });

  it("is reported with a name or pattern that a group before it has, or that no build namespace can have", () => {
    const taken = "none of group team-a: a namespace is in the first group that has it";
    for (const [wide, one] of [
      ["team-a*", "team-ab"],
      ["team-a", "team-a"],
      ["team-*", "team-?"],
    ])
      assert.deepEqual(
        mistakesIn([
          { ...group, namespaces: [wide] },
          { ...other, namespaces: ["team-z", one] },
        ]),
        [
          ...(wide === "team-*" ? [mistake("[1].namespaces[0]", "team-z", taken)] : []),
          mistake("[1].namespaces[1]", one, taken),
        ],
      );
    assert.deepEqual(
      mistakesIn([
        { ...group, namespaces: ["team-ab"] },
        { ...other, namespaces: ["team-a*"] },
      ]),
      [],
    );
    const matching = "one that matches a build namespace: see buildNamespaces";
    const excluded = { ...patterns, excludeNamespaces: ["team-x"] };
    for (const one of ["team-x", "kube-system", "other"])
      assert.deepEqual(mistakesIn([{ ...group, namespaces: ["team-a", one] }], excluded), [
        mistake("[0].namespaces[1]", one, matching),
      ]);
  });

  it("is refused with identity node, as any pod of the node could log in as it", () => {
    const why = "none with identity node: every pod that reaches the nodes' metadata could log in as any group";
    assert.deepEqual(mistakesIn([group], { ...patterns, identity: "node" }), [
      `ecr-helper:groups = [1 entry]: expected ${why}`,
    ]);
  });

  it("is not asked for by a role that the stack makes itself, which has one trust policy and one login", () => {
    const made = (name: string): string => `arn:aws:iam::${account}:role/${name}`;
    const expected = "a role that somebody else has made: this one is the stack's own";
    for (const name of ["ecr-helper-team-a", "ecr-helper-push"]) {
      const by = [{ host, roleArn: made(name) }];
      const [config, shown] = [{ ...patterns, pushRepositories: ["apps/*"] }, `"${made(name)}": expected ${expected}`];
      assert.deepEqual(mistakesIn([group, { ...other, registries: by }], config), [`ecr-helper:groups = ${shown}`]);
      const registries = JSON.stringify(by);
      assert.deepEqual(mistakesIn([group], { ...config, registries }), [`ecr-helper:registries = ${shown}`]);
    }
  });

  it("is an object with these fields, and has a login", () => {
    const form = "an object: groups, each with name, namespaces, and a list of repositories or registries";
    assert.deepEqual(mistakesIn(["team-a"]), [mistake("[0]", "team-a", form)]);
    const known = `no such field, but name, namespaces, ${lists}, registries`;
    assert.deepEqual(mistakesIn([{ ...group, role: "x" }]), [mistake("[0].role", "x", known)]);
    const login = `a login: an entry in one of ${lists}, or in registries`;
    for (const empty of [{}, { pullRepositories: [], registries: [] }])
      assert.deepEqual(mistakesIn([{ name: "team-a", namespaces, ...empty }]), [mistake("[0]", "team-a", login)]);
  });

  it("has lists of repositories as the stack has them, in registries whose tokens its own role asks for", () => {
    const [first] = mistakesIn([{ ...group, pullRepositories: ["app:1", "ok"] }]);
    const wrong = "the repository's name without its tag or digest";
    assert.equal(first, mistake("[0].pullRepositories[0]", "app:1", wrong));
    const arn = `arn:aws:ecr:us-east-1:${account}:repository/app`;
    const [unlisted = ""] = mistakesIn([{ ...group, pullThroughCache: [arn] }]);
    assert.match(
      unlisted,
      /groups\[0\]\.pullThroughCache\[0\] = .*: expected an ARN in the stack's own registry, or in/,
    );
    assert.deepEqual(mistakesIn([{ ...group, pullThroughCache: [arn], registries: [elsewhere] }]), []);
    const own = "another repository: none of the kept credentials may push to the one of the helper's own image";
    assert.deepEqual(mistakesIn([{ ...group, pushRepositories: ["ecr-helper"] }]), [
      mistake("[0].pushRepositories[0]", "ecr-helper", own),
    ]);
    assert.deepEqual(mistakesIn([{ ...group, pushRepositories: "a" }]), [
      mistake("[0].pushRepositories", "a", "a list of texts"),
    ]);
  });

  it("has a policy that IAM takes, under names that IAM takes", () => {
    const many = Array.from({ length: 100 }, (_, index) => `base/${"r".repeat(40)}${String(index)}`);
    const [size = ""] = mistakesIn([{ ...group, pullRepositories: many }]);
    assert.match(
      size,
      /groups\[0\] = "team-a": expected fewer or broader patterns: .* \d+ characters, and IAM takes 6144$/,
    );
    const long = { ...patterns, roleName: "r".repeat(58), policyName: "p".repeat(122) };
    const why = "-team-a is put after it for the role of that group";
    assert.deepEqual(mistakesIn([group], long), [
      `ecr-helper:roleName = "${long.roleName}": expected at most 57 characters: ${why}`,
      `ecr-helper:policyName = "${long.policyName}": expected at most 121 characters: ${why}`,
    ]);
    assert.deepEqual(mistakesIn([other], long), [], "it has no role of its own");
  });

  it("is not too large for one variable", () => {
    const tooLarge = /groups = \[\d+ entr(y|ies)\]: expected at most 32768 characters in all, where these have \d+$/;
    const names = Array.from({ length: 600 }, (_, index) => `team-${"n".repeat(50)}-${String(index)}`);
    assert.match(mistakesIn([{ ...group, namespaces: names }]).join("\n"), tooLarge);
    // The helper gets a role once for each host, and no lists of repositories.
    const sessionTags = Array.from({ length: 45 }, (_, index) => `key-${String(index)}=${"v".repeat(200)}`);
    const registries = Array.from({ length: 15 }, (_, index) => ({
      ...{ host: host.replace("444", String(500 + index)), roleArn, sessionTags },
    }));
    assert.match(mistakesIn([{ ...other, registries }]).join("\n"), tooLarge);
    const lists = Array.from({ length: 25 }, (_, index) => `team/${"n".repeat(30)}-${String(index)}`);
    const many = Array.from({ length: 35 }, (_, index) => ({
      ...{ name: `g${String(index)}`, namespaces: [`team-${String(index)}`], pullRepositories: lists },
    }));
    assert.deepEqual(mistakesIn(many), []);
  });
});

describe("the registries of a group", () => {
  const at = "[0].registries[0]";
  const registriesOf = (...registries: unknown[]): object => ({ ...group, registries });

  it("are reported in another account without a role, as the group's own role has no rights there", () => {
    const why = "{host, roleArn} for a registry of another account: the group's own role has no rights there";
    assert.deepEqual(mistakesIn([registriesOf(host)]), [mistake(at, host, why)]);
    assert.deepEqual(mistakesIn([registriesOf({ host })]), [mistake(at, host, why)]);
  });

  it("are reported without a role where the group has none itself", () => {
    const none = `{host, roleArn}, or an entry in one of ${lists}: without these the group has no role`;
    for (const one of [elsewhere, ownHost, "public.ecr.aws"])
      assert.deepEqual(mistakesIn([{ name: "x", namespaces, registries: [one] }]), [mistake(at, one, none)]);
  });

  it("are not the stack's own by its usual host, which the group's own role logs in to, and each is there once", () => {
    const own = "no entry for the stack's own registry: the group's own role logs in to it";
    for (const one of [ownHost, { host: ownHost, roleArn: ofOwnAccount }])
      assert.deepEqual(mistakesIn([registriesOf(one)]), [mistake(at, ownHost, own)]);
    for (const twice of [elsewhere, { host: elsewhere, roleArn }])
      assert.deepEqual(mistakesIn([registriesOf(elsewhere, twice)]), [
        mistake("[0].registries[1]", elsewhere, "each host once"),
      ]);
  });

  it("are reported with what the stack's registries are reported with", () => {
    const arn = "as roleArn arn:PARTITION:iam::ACCOUNT:role/NAME";
    assert.deepEqual(mistakesIn([registriesOf({ host, roleArn: "x" })]), [mistake(at, "x", arn)]);
    const chinese = roleArn.replace("aws", "aws-cn");
    assert.deepEqual(mistakesIn([registriesOf({ host, roleArn: chinese })]), [
      mistake(at, chinese, "a role in the stack's partition, aws: one of aws-cn is unknown there"),
    ]);
    for (const one of ["x", { roleArn }, 1, `https://${elsewhere}`, `${elsewhere}.cn`])
      assert.match(mistakesIn([registriesOf(one)]).join("\n"), /^[^\n]*groups\[0\]\.registries\[0\] = "[^\n]*$/);
    assert.match(
      mistakesIn([registriesOf(host.replace("ecr", "ecr-fips").replace("us-east-1", "eu-west-1"))]).join(),
      /FIPS/,
    );
    assert.match(
      mistakesIn([{ ...group, registries: {} }]).join(),
      /groups\[0\]\.registries = "\{\}": expected a list of/,
    );
  });

  it("have the same external id and tags with a role as all registries of the stack", () => {
    const same = "the same externalId and sessionTags with each registry: a role has one token in a region";
    const wrong = { host: elsewhere, roleArn, externalId: "12" };
    assert.deepEqual(mistakesIn([registriesOf({ host, roleArn }, wrong)]), [
      mistake("[0].registries[1]", roleArn, same),
    ]);
    assert.deepEqual(mistakesIn([group, other, { ...other, name: "c", namespaces: ["team-c"], registries: [wrong] }]), [
      mistake("[2].registries[0]", roleArn, same),
    ]);
    const registries = JSON.stringify([{ host, roleArn, sessionTags: ["a=b"] }]);
    assert.deepEqual(mistakesIn([other], { ...patterns, registries }), [mistake(at, roleArn, same)]);
    const tagged = { ...other, registries: [{ host, roleArn, sessionTags: ["a=b"] }] };
    assert.deepEqual(mistakesIn([tagged], { ...patterns, registries }), []);
  });
});
