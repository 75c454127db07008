// What Kubernetes accepts in a pod's specification, to compare with infra/config/pod.ts and infra/config/resources.ts.
import type { PodConfig } from "../../infra/config/pod.ts";
import { all, isLabelKey, isLabelWord, isNumber, isSubdomain, type Rule } from "./acceptable.ts";

/** A rule, and the values that have to follow it; undefined is a value that is not set. */
export type Check = readonly [Rule, ...values: (string | undefined)[]];

/** Valid values of the keys of the pod, beside their defaults. */
export const validPodValues: Readonly<Record<string, string[]>> = {
  nodeSelector: ['["pool=builds","example.com/zone="]'],
  tolerations: ['["pool","pool:NoSchedule","example.com/pool=builds:NoExecute"]'],
  priorityClassName: ["system-cluster-critical"],
  podLabels: ['["team=builds","example.com/cost_center=A.1"]'],
  podAnnotations: ['["example.com/note=a = b, \\"c\\"","sidecar.istio.io/inject=false"]'],
  resources: ['["requests.cpu=50m","requests.memory=128Mi","limits.cpu=1","limits.memory=1Gi"]'],
  runAsUser: ["cluster", "1000660000"],
  rolloutTimeout: ["600"],
};

const isEffect: Rule = (value) => ["NoSchedule", "PreferNoSchedule", "NoExecute"].includes(value);

/** A quantity that is not zero, in the form in which the API server writes it (k8s.io/apimachinery/pkg/api/resource). */
const isQuantity: Rule = (value) => {
  const unit = ["Mi", "Gi", "m"].find((one) => value.endsWith(one)) ?? "";
  const amount = value.slice(0, value.length - unit.length);
  const next = { m: 1000, Mi: 1024 }[unit] ?? Infinity;
  return all(isNumber(amount, 1, 999_999), !amount.startsWith("0"), Number(amount) % next !== 0);
};

/** The values of the pod's keys, with the rules of Kubernetes. */
export function podChecks(config: PodConfig): Check[] {
  const labels = Object.entries({ ...config.nodeSelector, ...config.podLabels });
  const { requests, limits } = config.resources;
  return [
    [isLabelKey, ...labels.map(([key]) => key), ...Object.keys(config.podAnnotations)],
    [isLabelKey, ...config.tolerations.map(({ key }) => key)],
    [(value) => value === "" || isLabelWord(value), ...labels.map(([, value]) => value)],
    [isLabelWord, ...config.tolerations.map(({ value }) => value)],
    [isEffect, ...config.tolerations.map(({ effect }) => effect)],
    [isSubdomain, config.priorityClassName],
    [isQuantity, ...Object.values(requests), ...Object.values(limits)],
    [(value) => isNumber(value, 1, 2147483647), config.runAsUser?.toString()],
    [(value) => isNumber(value, 10, 3600), String(config.rolloutTimeout)],
  ];
}
