// Keeps the status table fresh. Without JavaScript, reloading the page does.
const live = document.getElementById("live");
if (live) {
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      if (fresh && fresh.innerHTML !== live.innerHTML) live.innerHTML = fresh.innerHTML;
    } catch { /* the next try may do better */ }
  }, 1000);
}
// One click, one mail: a second click while the first is under way does nothing.
document.querySelector("form.signup")?.addEventListener("submit", (event) => {
  const button = event.target.querySelector("button");
  button.textContent = "Sending…";
  setTimeout(() => { button.disabled = true; }, 0);
});
