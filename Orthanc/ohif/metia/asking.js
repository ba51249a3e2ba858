// Asking the server for as long as it takes: how to wait, and which answers only mean that it is away.
const AGAIN_MS = 3000;
const AWAY = [0, 502, 503, 504]; // no connection, or whoever stands in front of a server that restarts

// Ends after so long, and at once when the network, the page or the person is back: the clocks of a hidden page hardly
// run, and whoever comes back from another page has perhaps changed something there.
export function pause(ms) {
  return new Promise(resolve => {
    const back = new AbortController();
    const end = () => {
      clearTimeout(timer);
      back.abort();
      resolve();
    };
    const timer = setTimeout(end, ms);
    for (const event of ['online', 'visibilitychange', 'focus']) {
      window.addEventListener(event, end, { signal: back.signal });
    }
  });
}

// Ask again until there is an answer; `tell` hears whether the connection is lost, and `here` of each wait.
export async function insist(question, { tell, here }) {
  for (;;) {
    try {
      const answer = await here(question());
      tell(false);
      return answer;
    } catch (error) {
      if (!AWAY.includes(error.status)) throw error;
      tell(true);
      await here(pause(AGAIN_MS));
    }
  }
}
