import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runProgram } from "../support/program.ts";

const cluster = { kubeconfig: "Pulumi.yaml" };
const registration = "kubernetes:admissionregistration.k8s.io";
const isMutating = ({ type }: { readonly type: string }): boolean => type.includes(":MutatingAdmissionPolicy");

describe("the policy for pods", () => {
  it("does not exist by default", async () => {
    assert.ok(!(await runProgram(cluster)).resources.some(isMutating));
  });

  for (const version of ["v1", "v1beta1"]) {
    it(`is of version ${version} where that is configured, named after the stack, and created after the rollout`, async () => {
      const { find, resources } = await runProgram({ ...cluster, podAdmission: version, pullSecret: "pulls" });
      const policy = find(`${registration}/${version}:MutatingAdmissionPolicy`, "ecr-helper-pods").inputs;
      const binding = find(`${registration}/${version}:MutatingAdmissionPolicyBinding`, "ecr-helper-pods").inputs;
      for (const { metadata } of [policy, binding]) assert.deepEqual(metadata, { name: "ecr-helper-test-pods" });
      assert.deepEqual(binding["spec"], { policyName: "ecr-helper-test-pods" });
      const spec = policy["spec"] as { failurePolicy: string; matchConstraints: object };
      assert.equal(spec.failurePolicy, "Ignore", "no pod is refused");
      assert.deepEqual(spec.matchConstraints, {
        resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"] }],
      });
      assert.match(JSON.stringify(spec), /"pulls/);
      const types = resources.map(({ type }) => type);
      assert.ok(types.indexOf("kubernetes:apps/v1:Deployment") < resources.findIndex(isMutating), types.join());
    });
  }
});
