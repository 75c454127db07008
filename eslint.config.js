import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  { ignores: ["node_modules/", "build/"] },
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: { allowDefaultProject: ["eslint.config.js", ".dependency-cruiser.js"] } },
    },
  },
  {
    rules: {
      complexity: ["error", 10],
      "max-depth": ["error", 3],
      "max-params": ["error", 5],
      eqeqeq: "error",
      "no-console": "error",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/promise-function-async": "error",
      // A callback that gives what the called function gives reads better without braces.
      "@typescript-eslint/no-confusing-void-expression": [
        "error",
        { ignoreArrowShorthand: true, ignoreVoidOperator: true },
      ],
      "@typescript-eslint/no-meaningless-void-operator": "off",
    },
  },
  {
    files: ["**/*.ts"],
    rules: { "max-lines": ["error", 200], "max-lines-per-function": ["error", 60] },
  },
  {
    // A suite is one function. A file of more lines says why at its top.
    files: ["**/*.test.ts"],
    rules: { "max-lines": ["error", 300], "max-lines-per-function": "off" },
  },
  // Figures are for whoever started the bench, or the soak.
  { files: ["test/bench/**", "test/soak/main.ts"], rules: { "no-console": "off" } },
  {
    // node:test's describe and it give promises that the runner itself awaits.
    files: ["test/**/*.test.ts"],
    rules: {
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", name: ["describe", "it"], package: "node:test" }] },
      ],
    },
  },
);
