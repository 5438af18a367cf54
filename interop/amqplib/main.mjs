// `node main.mjs`: the scenarios with amqplib, over its promise API.

import { run } from './src/board.mjs';
import connections from './src/connections.mjs';
import consuming from './src/consuming.mjs';
import publishing from './src/publishing.mjs';
import { Client } from './src/client.mjs';
import topology from './src/topology.mjs';

const CANNOT = [
  ['tx-commit', 'amqplib has no tx methods'],
  ['tx-rollback', 'amqplib has no tx methods'],
];

await run([...topology, ...publishing, ...consuming, ...connections], CANNOT, async (scenario) => {
  const client = new Client();
  await scenario(client);
  await client.close();
});
