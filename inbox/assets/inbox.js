// Keeps an open list up to date. The page works without it.
"use strict";
(() => {
  const list = document.getElementById("list");
  if (!("live" in list.dataset) || !window.EventSource) return;

  const live = document.getElementById("live");
  let source = null;
  let retry = 0;
  let busy = false;
  let wanted = list.dataset.version;

  const show = (on) => {
    live.hidden = false;
    live.textContent = on ? "Live" : "Not connected";
    live.classList.toggle("on", on);
  };

  // merge brings the list to what the server shows now. Rows that stay are left
  // alone, so that neither focus nor scrolling is lost. Both lists are newest first.
  const merge = (doc) => {
    const next = doc.getElementById("list");
    const fresh = [];
    let at = list.firstElementChild;
    for (const li of [...next.children]) {
      const old = document.getElementById(li.id);
      if (!old) {
        fresh.push(li);
        const row = document.importNode(li, true);
        row.classList.add("new");
        list.insertBefore(row, at);
        continue;
      }
      while (at && at !== old) {
        const gone = at;
        at = at.nextElementSibling;
        gone.remove();
      }
      if (!li.classList.contains("unread")) {
        old.classList.remove("unread");
        old.querySelector(".unread-mark")?.remove();
      }
      const marks = old.querySelector(".marks");
      const now = li.querySelector(".marks");
      if (marks.innerHTML !== now.innerHTML) marks.replaceWith(document.importNode(now, true));
      at = old.nextElementSibling;
    }
    while (at) {
      const gone = at;
      at = at.nextElementSibling;
      gone.remove();
    }
    list.hidden = next.hidden;
    list.dataset.version = next.dataset.version;
    document.title = doc.title;
    for (const id of ["empty", "more", "clear"]) {
      document.getElementById(id).hidden = doc.getElementById(id).hidden;
    }
    for (const id of ["summary", "empty", "more"]) {
      document.getElementById(id).replaceChildren(...doc.getElementById(id).childNodes);
    }
    const news = document.getElementById("news");
    if (fresh.length === 1) {
      const text = (c) => fresh[0].querySelector(c).textContent;
      news.textContent = "New message from " + text(".from bdi") + ": " + text(".subject");
    } else if (fresh.length > 1) {
      news.textContent = fresh.length + " new messages";
    }
  };

  // refresh reads the page again until it is as new as the last event said. After
  // a burst of mail that is one reading, not one for each message.
  const refresh = async () => {
    if (busy) return;
    busy = true;
    try {
      while (wanted !== list.dataset.version) {
        const version = wanted;
        const answer = await fetch(location.href, { cache: "no-store" });
        if (!answer.ok) break;
        merge(new DOMParser().parseFromString(await answer.text(), "text/html"));
        if (wanted === version) break;
        await new Promise((done) => setTimeout(done, 250));
      }
    } catch {
      // The server is away; the stream says when it is back.
    } finally {
      busy = false;
    }
  };

  const stop = () => {
    clearTimeout(retry);
    source?.close();
    source = null;
  };

  const start = () => {
    stop();
    source = new EventSource("events");
    source.onopen = () => show(true);
    source.onmessage = (event) => {
      wanted = event.data;
      refresh();
    };
    source.onerror = () => {
      show(false);
      if (source?.readyState === EventSource.CLOSED) retry = setTimeout(start, 3000);
    };
  };

  // A browser opens few connections to one host. A tab that nobody sees keeps none.
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  if (!document.hidden) start();
})();
