import { defineConfig } from 'vitest/config';

export default defineConfig({
  // The package itself, as examples import it: package.json names the same files for Node and tsc under
  // the condition millrace-source.
  resolve: {
    alias: {
      'millrace/client': new URL('src/client/index.ts', import.meta.url).pathname,
      'millrace/testing': new URL('src/testing/index.ts', import.meta.url).pathname,
    },
  },
  test: {
    include: ['test/**/*.test.ts'],
    // Brokers and their threads share two cores with the tests: more files at once only wait.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
