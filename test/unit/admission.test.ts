import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runProgram, type Program } from "../support/program.ts";

const registration = "kubernetes:admissionregistration.k8s.io/v1";
const cluster = { kubeconfig: "Pulumi.yaml" };

interface Spec {
  readonly failurePolicy: string;
  readonly matchConstraints: { readonly resourceRules: readonly object[] };
  readonly matchConditions: readonly { readonly expression: string }[];
  readonly variables: readonly { readonly name: string; readonly expression: string }[];
  readonly validations: readonly { readonly expression: string; readonly message: string; readonly reason: string }[];
}

const resources = ["secrets", "serviceaccounts"];
const specOf = (program: Program, resource: string): Spec =>
  program.find(`${registration}:ValidatingAdmissionPolicy`, `ecr-helper-${resource}`).inputs["spec"] as Spec;

describe("the admission policies", () => {
  for (const resource of resources) {
    it(`apply only to the helper, and to all of its writes of ${resource}`, async () => {
      const program = await runProgram({ ...cluster, namespace: "tools" });
      const spec = specOf(program, resource);
      assert.equal(spec.failurePolicy, "Fail");
      assert.deepEqual(spec.matchConstraints, {
        resourceRules: [
          { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE", "UPDATE", "DELETE"], resources: [resource] },
        ],
      });
      assert.deepEqual(spec.matchConditions, [
        { name: "helper", expression: 'request.userInfo.username == "system:serviceaccount:tools:ecr-helper"' },
      ]);
    });

    it(`are named after the stack and deny writes of ${resource} with a distinct message for each rule`, async () => {
      const program = await runProgram(cluster);
      const name = `ecr-helper-test-${resource}`;
      const { inputs } = program.find(`${registration}:ValidatingAdmissionPolicyBinding`, `ecr-helper-${resource}`);
      assert.deepEqual(inputs["metadata"], { name });
      assert.deepEqual(inputs["spec"], { policyName: name, validationActions: ["Deny"] });
      const { validations } = specOf(program, resource);
      assert.ok(validations.length >= 5);
      for (const { message, reason } of validations) {
        assert.match(message, /helper/);
        assert.equal(reason, "Forbidden");
      }
      assert.equal(new Set(validations.map(({ message }) => message)).size, validations.length);
    });
  }

  it("contain the names of all secrets, and of both owners", async () => {
    const registries = '["444455556666.dkr.ecr.us-east-1.amazonaws.com"]';
    const program = await runProgram({ ...cluster, registries, basicAuthSecret: "logins", pullSecret: "pulls" });
    const validations = JSON.stringify(specOf(program, "secrets").validations);
    for (const part of ['["logins","logins-us-east-1"]', '"pulls"', '["ecr-helper-test","ecr-helper-test-owner"]']) {
      assert.ok(validations.includes(JSON.stringify(part).slice(1, -1)), part);
    }
  });

  it("have the type, keys, labels and namespaces of further secrets, by their names", async () => {
    const labels = { team: "a" };
    const secrets = JSON.stringify([
      { name: "argocd", form: "argocd-repo-creds", namespaces: ["d*"], labels, annotations: { at: "\ud800 ${url}" } },
    ]);
    const { validations, variables } = specOf(await runProgram({ ...cluster, secrets }), "secrets");
    const all = [...validations, ...variables].map(({ expression }) => expression).join("\n");
    for (const part of [
      'object.metadata.name == "argocd" ? (object.type == "Opaque" && "url" in variables.data && ',
      'k in ["url","type","enableOCI","username","password"] || k in variables.dataBefore',
      'object.metadata.name == "argocd" ? (variables.isBuild && (request.namespace.matches("^(d.*)$")))',
      '{"argocd":{"argocd.argoproj.io/secret-type":"repo-creds","team":"a"}}[?object.metadata.name].orValue({})',
      '{"argocd":{"at":""}}[?object.metadata.name].orValue({})',
    ])
      assert.ok(all.includes(part), part);
  });

  it("are created before the Deployment, and not at all with admissionPolicy false", async () => {
    const { resources: all } = await runProgram(cluster);
    const types = all.map(({ type }) => type);
    const deployed = types.indexOf("kubernetes:apps/v1:Deployment");
    const bound = types.lastIndexOf(`${registration}:ValidatingAdmissionPolicyBinding`);
    assert.ok(bound >= 0 && bound < deployed, types.join(", "));
    const without = await runProgram({ ...cluster, admissionPolicy: "false" });
    assert.ok(!without.resources.some(({ type }) => type.startsWith(registration)));
  });

  const expressionOf = async (config: Record<string, string>): Promise<string> =>
    specOf(await runProgram({ ...cluster, ...config }), "serviceaccounts").variables.find(
      ({ name }) => name === "isBuild",
    )?.expression ?? "";

  // test/integration/admission-namespaces.test.ts evaluates them in an API server.
  for (const [what, config, parts] of [
    ["names", { buildNamespaces: '["a","b"]' }, ['request.namespace in ["a","b"]', "!false"]],
    ["patterns", { buildNamespaces: '["t-*","x?"]' }, ['request.namespace.matches("^(t-.*|x.)$")']],
    [
      "exclusions",
      { buildNamespaces: '["*"]', excludeNamespaces: '["c","*-d"]' },
      ['!(request.namespace in ["c"] || '],
    ],
    [
      "a selector",
      { namespaceSelector: "a=1,!b" },
      ['.?labels[?"a"].optMap(v, v in ["1"])', '!namespaceObject.metadata.?labels[?"b"]'],
    ],
    ["numbers", { namespaceSelector: "a>007" }, ["int(v) > 7)"]],
  ] as const) {
    it(`have the stack's rules for build namespaces: ${what}`, async () => {
      const expression = await expressionOf(config);
      for (const part of parts) assert.ok(expression.includes(part), expression);
    });
  }
});
