/** For tests: a provider with real keys. */
export { TestProvider } from "./provider.test-helper.ts";
