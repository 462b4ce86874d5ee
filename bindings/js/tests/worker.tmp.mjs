
    import { parentPort, workerData } from 'node:worker_threads';
    import { readFileSync } from 'node:fs';
    const tokenpin = await import('tokenpin');
    const { all } = await import(workerData.vectors);
    parentPort.postMessage(await all(tokenpin, (name) => readFileSync(new URL(name, workerData.folder), 'utf8')));