// Which room may import which: helper/README.md has the picture. `npm run check` holds the code to it.

/** The rooms of helper/, each with those it may import from. The entry point, helper/*.ts, may import all. */
const rooms = {
  shared: [],
  runtime: ["shared"],
  config: ["shared"],
  kube: ["runtime", "shared"],
  ecr: ["config", "runtime", "shared"],
  resources: ["ecr", "kube", "config", "runtime", "shared"],
  cache: ["resources", "kube", "config", "runtime", "shared"],
  election: ["kube", "config", "runtime", "shared"],
  observability: ["ecr", "kube", "config", "runtime", "shared"],
  controller: ["cache", "election", "observability", "resources", "ecr", "kube", "config", "runtime", "shared"],
};

export default {
  forbidden: [
    { name: "no-circles", severity: "error", from: {}, to: { circular: true } },
    ...Object.entries(rooms).map(([room, others]) => ({
      name: `room-${room}`,
      comment: `helper/${room} imports from ${others.join(", ") || "no other room"} only`,
      severity: "error",
      from: { path: `^helper/${room}/` },
      to: { path: "^(helper|infra|test)/", pathNot: `^helper/(${[room, ...others].join("|")})/` },
    })),
    {
      name: "infra-takes-what-is-shared",
      severity: "error",
      from: { path: "^infra/" },
      to: { path: "^(helper|test)/", pathNot: "^helper/shared/" },
    },
    {
      name: "support-knows-no-suite",
      severity: "error",
      from: { path: "^test/(support|local)/" },
      to: { path: "^test/", pathNot: "^test/(support|local)/" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "types"] },
  },
};
