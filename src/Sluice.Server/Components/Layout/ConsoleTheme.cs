using MudBlazor;

namespace Sluice.Server.Components.Layout;

/// <summary>The colours of the component library; console.css has the same ones as custom properties.</summary>
static class ConsoleTheme
{
    static readonly string[] Fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"];

    public static MudTheme Value { get; } = new()
    {
        PaletteLight = new PaletteLight
        {
            Primary = "#0b6b6b",
            Background = "#f5f7f7",
            Surface = "#ffffff",
            TextPrimary = "#14211f",
            TextSecondary = "#4d5c5a",
            ActionDefault = "#4d5c5a",
            LinesDefault = "#dfe5e4",
            LinesInputs = "#8a9997",
            Divider = "#dfe5e4",
            Error = "#b3261e",
        },
        PaletteDark = new PaletteDark
        {
            Primary = "#5fd0c5",
            Background = "#0e1615",
            Surface = "#16211f",
            TextPrimary = "#e6eeec",
            TextSecondary = "#a3b3b0",
            ActionDefault = "#a3b3b0",
            LinesDefault = "#2a3835",
            LinesInputs = "#5f716d",
            Divider = "#2a3835",
            Error = "#ff8a80",
        },
        LayoutProperties = new LayoutProperties { DefaultBorderRadius = "8px" },
        Typography = new Typography
        {
            Default = new DefaultTypography { FontFamily = Fonts, FontSize = "0.9rem", LetterSpacing = "normal" },
            Button = new ButtonTypography { FontFamily = Fonts, TextTransform = "none", LetterSpacing = "0" },
        },
    };
}
