namespace Sluice.Server.Components;

static class Rendering
{
    /// <summary>Renders from a thread that is not the page's. A page that has been left meanwhile is no error.</summary>
    /// <param name="invoke">The page's own <c>InvokeAsync</c>.</param>
    public static async Task RenderAsync(Func<Action, Task> invoke, Action render)
    {
        try
        {
            await invoke(render);
        }
        catch (ObjectDisposedException)
        {
            // left between the look and the render
        }
    }
}
